//! What a Dockerfile says of itself: its stages, and the ports it exposes. Enough to suggest a ship.toml; what it
//! means to a build is the builder's business.

use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dockerfile {
    /// Names of the stages that have one, in order.
    pub stages: Vec<String>,
    /// TCP ports that the last stage exposes, itself or through the stages it is made of.
    pub ports: Vec<u16>,
    /// What is copied from the build context, but for patterns and variables.
    pub sources: Vec<String>,
}

/// Reads what can be read; a line that makes no sense says nothing.
#[must_use]
pub fn read(text: &str) -> Dockerfile {
    let mut stages = Vec::new();
    let mut by_stage: BTreeMap<String, Vec<u16>> = BTreeMap::new();
    let mut ports: Vec<u16> = Vec::new();
    let mut name: Option<String> = None;
    let mut sources = Vec::new();
    for instruction in instructions(text) {
        let mut words = instruction.split_whitespace();
        match words.next().map(str::to_ascii_uppercase).as_deref() {
            Some("FROM") => {
                if let Some(done) = name.take() {
                    by_stage.insert(done, std::mem::take(&mut ports));
                }
                let words: Vec<_> = words.filter(|word| !word.starts_with("--")).collect();
                // Stages are called without regard to case, as the builder does.
                let base = words.first().map(|base| base.to_ascii_lowercase()).unwrap_or_default();
                ports = by_stage.get(&base).cloned().unwrap_or_default();
                if let [_, word, stage, ..] = words[..]
                    && word.eq_ignore_ascii_case("AS")
                {
                    stages.push(stage.to_owned());
                    name = Some(stage.to_ascii_lowercase());
                }
            }
            Some("EXPOSE") => ports.extend(words.filter_map(port).collect::<Vec<_>>()),
            Some("COPY" | "ADD") => sources.extend(sources_of(&instruction)),
            Some(_) | None => {}
        }
    }
    let mut unique = Vec::new();
    for port in ports {
        if !unique.contains(&port) {
            unique.push(port);
        }
    }
    Dockerfile { stages, ports: unique, sources }
}

/// What one `COPY` or `ADD` takes from the context; nothing where it copies from a stage or an image.
fn sources_of(instruction: &str) -> Vec<String> {
    let words: Vec<_> = instruction.split_whitespace().skip(1).collect();
    if words.iter().any(|word| word.starts_with("--from=")) || instruction.contains("<<") {
        return Vec::new();
    }
    let list = instruction.split_once('[').and_then(|(_, list)| serde_json::from_str(&format!("[{list}")).ok());
    let mut paths: Vec<String> = list.unwrap_or_else(|| {
        words.iter().filter(|word| !word.starts_with("--")).map(|word| (*word).to_owned()).collect()
    });
    // The last one is where to.
    paths.pop();
    paths.retain(|path| !path.contains(['*', '?', '[', '$']) && !path.contains("://"));
    paths
}

/// `8080`, `8080/tcp`; of a range its first. A variable says nothing without its value.
fn port(word: &str) -> Option<u16> {
    let (number, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let first = number.split('-').next().unwrap_or(number);
    if protocol.eq_ignore_ascii_case("tcp") { first.parse().ok() } else { None }
}

/// Instructions with their continued lines joined and comments left out, also those between continued lines.
fn instructions(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    let mut here_document: Option<String> = None;
    for line in text.trim_start_matches('\u{feff}').lines() {
        if let Some(end) = &here_document {
            if line.trim() == *end {
                here_document = None;
            }
            continue;
        }
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut instruction = open.take().unwrap_or_default();
        if let Some(part) = line.strip_suffix('\\') {
            instruction.push_str(part);
            instruction.push(' ');
            open = Some(instruction);
            continue;
        }
        instruction.push_str(line);
        here_document = here_document_of(&instruction);
        found.push(instruction);
    }
    found.extend(open);
    found
}

/// The word that ends what follows `RUN <<EOF`.
fn here_document_of(instruction: &str) -> Option<String> {
    let keyword = instruction.split_whitespace().next()?.to_ascii_uppercase();
    let (_, rest) = instruction.split_once("<<").filter(|_| matches!(keyword.as_str(), "RUN" | "COPY" | "ADD"))?;
    let word = rest.trim_start_matches('-').split_whitespace().next()?.trim_matches(['"', '\'']);
    let is_word = word.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    (is_word && !word.is_empty()).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Dockerfile, read};

    #[test]
    fn stages_and_ports_are_found() {
        for (text, stages, ports) in [
            ("FROM scratch\nCOPY a /\n", &[][..], &[][..]),
            ("FROM a AS build\nEXPOSE 1\nFROM b\nEXPOSE 8080/tcp 9090 53/udp\n", &["build"], &[8080, 9090]),
            // A stage exposes what the stage it is made of does.
            (
                "from a as Base\nexpose 8080\nFROM base AS test\nFROM base AS runtime\nEXPOSE 8080\n",
                &["Base", "test", "runtime"],
                &[8080],
            ),
            (
                "FROM --platform=$BUILDPLATFORM a AS build\nFROM b\nEXPOSE \\\n  # the port\n  80 \\\n  443\n",
                &["build"],
                &[80, 443],
            ),
            ("ARG PORT=80\nFROM a\nEXPOSE $PORT\nEXPOSE 7000-7010\n", &[], &[7000]),
            ("FROM a\nRUN <<EOF\nEXPOSE 1\nEOF\nEXPOSE 2\n", &[], &[2]),
            ("\u{feff}FROM a\r\nEXPOSE 5\r\n", &[], &[5]),
            ("nonsense", &[], &[]),
        ] {
            let Dockerfile { stages: found, ports: exposed, sources: _ } = read(text);
            assert_eq!(
                (found.iter().map(String::as_str).collect::<Vec<_>>(), &exposed[..]),
                (stages.to_vec(), ports),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_copied_from_the_context_is_found() {
        for (line, sources) in [
            ("COPY a b /x/", &["a", "b"][..]),
            ("COPY --chown=1:1 [\"a b\", \"/x\"]", &["a b"]),
            ("COPY --from=build /out /", &[]),
            ("ADD https://example.com/a *.json $B c /", &["c"]),
            ("COPY <<EOF /x\na\nEOF", &[]),
        ] {
            assert_eq!(read(&format!("FROM scratch\n{line}\n")).sources, sources, "{line}");
        }
    }
}
