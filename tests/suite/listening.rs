//! Where a sandbox listens, as the kernel says: on loopback alone, and elsewhere only where it was told to, with a warning.

use std::{collections::BTreeSet, fs};

use crate::environment::{Environment, PROGRAM};

struct Up {
    environment: Environment,
    said: String,
}

impl Up {
    fn with(words: &[&str]) -> Self {
        let environment = Environment::with_docker();
        let up = [&["sandbox", "up", "--paper", "--port", "0"], words].concat();
        let said = environment.run_all(PROGRAM, &up).success().to_string();
        Self { environment, said }
    }

    /// The addresses it listens on, without ports.
    fn addresses(&self) -> BTreeSet<String> {
        let status = self.environment.run(PROGRAM, ["sandbox", "status", "--format", "json"]).success();
        let status: serde_json::Value = serde_json::from_str(&status.stdout).expect("JSON");
        let process = format!("/proc/{}", status["pid"]);
        let descriptors = fs::read_dir(format!("{process}/fd")).expect("it runs").flatten();
        let open: BTreeSet<String> = descriptors
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
            .collect();
        let mut found = BTreeSet::new();
        for table in ["tcp", "tcp6", "udp", "udp6"] {
            for line in fs::read_to_string(format!("{process}/net/{table}")).unwrap_or_default().lines().skip(1) {
                let columns: Vec<&str> = line.split_whitespace().collect();
                // 0A is a socket that listens; of UDP each one would count.
                if (columns[3] == "0A" || table.starts_with("udp")) && open.contains(columns[9]) {
                    found.insert(columns[1].split(':').next().unwrap_or_default().to_owned());
                }
            }
        }
        found
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.environment.run(PROGRAM, ["sandbox", "down"]);
    }
}

#[test]
fn nothing_listens_beyond_loopback_unless_asked_and_then_with_a_warning() {
    // As the kernel writes them: the bytes of an IPv4 address as one number of this machine's.
    let kernel = |address: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(address));
    let alone = Up::with(&[]);
    assert_eq!(alone.addresses(), BTreeSet::from([kernel([127, 0, 0, 1])]));
    assert!(!alone.said.contains("warning"), "{}", alone.said);
    let open = Up::with(&["--bind", "0.0.0.0"]);
    assert!(open.addresses().contains(&kernel([0, 0, 0, 0])), "{:?}", open.addresses());
    let warning =
        "warning: it listens on 0.0.0.0: whoever can reach this machine there can run containers on your engine";
    assert!(open.said.contains(warning), "{}", open.said);
}
