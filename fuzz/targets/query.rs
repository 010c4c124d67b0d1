#![no_main]

use docker_ecs_ship_fuzz::judge;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| judge::query(bytes));
