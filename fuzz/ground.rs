//! What is fuzzed, without all that is not: the lowest floors of the program import nothing from above, so that they build
//! alone, in a minute, and the fuzzer's counters are in nothing else.

#[path = "../src/config/mod.rs"]
pub mod config;
/// Of the hands only what is pure.
#[path = "../src/docker"]
pub mod docker {
    pub mod ignore;
    pub mod lines;
    pub mod rawjson;
}
#[path = "../src/env.rs"]
pub mod env;
#[path = "../src/id.rs"]
pub mod id;
#[path = "../src/image.rs"]
pub mod image;
pub mod judge;
/// Of the sandbox what takes a request apart.
#[path = "../src/sandbox"]
pub mod sandbox {
    pub mod wire {
        pub mod form;
    }
}
#[path = "../src/prose.rs"]
pub mod prose;
#[path = "../src/secret.rs"]
pub mod secret;
