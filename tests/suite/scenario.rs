//! What a scenario file that is wrong looks like on the screen, and how the program ends.

use std::fmt::Write as _;

use crate::environment::{Environment, PROGRAM};

/// Each with what is wrong with it.
const WRONG: [(&str, &str); 9] = [
    ("an unknown key", "format = 1\n\n[[tasks]]\nof = \"new\"\ncrash = \"2s\"\n"),
    ("a wrong type", "format = 1\n\n[load]\nrate = \"200\"\n"),
    ("a duration without a unit", "format = 1\n\n[[tasks]]\nof = \"new\"\nboot = 8\n"),
    ("a contradiction", "format = 1\n\n[[tasks]]\nof = \"new\"\nfails = \"image\"\ncrash_after = \"1s\"\n"),
    ("an unknown word", "format = 1\n\n[[faults]]\nservice = \"ecs\"\nfault = \"throtle\"\n"),
    ("a phase nobody knows", "format = 1\n\n[[deploys]]\nat = \"drain\"\nphase = \"drain\"\n"),
    ("one bracket", "format = 1\n\n[tasks]\nof = \"new\"\nboot = \"2s\"\n"),
    ("another format", "format = 2\n"),
    ("no TOML", "format = 1\n[[tasks]\nof = \"new\"\n"),
];

#[test]
fn every_mistake_is_drawn_in_its_place() {
    let environment = Environment::new();
    let mut pages = String::new();
    for (what, text) in WRONG {
        environment.write("chaos.toml", text);
        let output = environment.run(PROGRAM, ["sandbox", "up", "--paper", "--scenario", "chaos.toml"]);
        assert_eq!(output.code, Some(3), "{what}: {output}");
        assert_eq!(output.stdout, "", "{what}");
        let _in_memory = write!(pages, "── {what}\n{}\n", output.stderr);
    }
    insta::assert_snapshot!("every_mistake_of_a_scenario", pages);
}

#[test]
fn a_scenario_that_cannot_be_read_is_said_before_anything_is_done() {
    let environment = Environment::new();
    let output = environment.run(PROGRAM, ["rehearse", "--scenario", "nowhere.toml"]);
    assert_eq!(output.code, Some(4), "{output}");
    assert!(output.stderr.contains("nowhere.toml"), "{output}");
}
