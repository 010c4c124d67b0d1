//! Everything generated is committed; `UPDATE=1 cargo test --test suite` rewrites it.

use std::{fs, path::Path};

use ecs_ship::{cli::reference, config::schema::schema};

use crate::event_page;

fn is_fresh(path: &str, expected: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    #[expect(clippy::disallowed_methods, reason = "the test asks whether it is to rewrite the file")]
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(file.parent().expect("a file has a folder")).expect("a folder can be made");
        fs::write(&file, expected).expect("the file can be written");
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == expected, "{path} is stale: run `UPDATE=1 cargo test --test suite` and commit it");
}

#[test]
fn the_reference_is_what_the_program_says() {
    is_fresh("docs/reference/cli.md", &reference::commands());
    is_fresh("docs/reference/exit-codes.md", &reference::exit_codes());
    is_fresh("docs/reference/environment.md", &reference::environment());
    is_fresh("docs/reference/ship-toml.md", &reference::ship_toml());
    is_fresh("docs/reference/ship.schema.json", &format!("{:#}\n", schema()));
    is_fresh("docs/reference/events.md", &event_page::page());
}
