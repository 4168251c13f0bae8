//! What is kept of texts: the settings under `content.`.

use std::path::Path;

use flyball_ingest::redact::{Detector, Policy};

use super::{Error, Settings, list};

impl Settings {
    /// The policy that the settings make.
    ///
    /// # Errors
    /// The first setting of the wrong form; of the file of patterns, the line.
    pub(super) fn policy(&self) -> Result<Policy, Error> {
        let mut detectors = Vec::new();
        for name in list(self.text("content.redact")) {
            if name == "none" {
                continue;
            }
            let expected = "key, card and email, comma between, or none";
            let found = Detector::named(&name);
            detectors.push(found.ok_or_else(|| self.wrong("content.redact", expected))?);
        }
        if let Some(path) = self.some("content.patterns") {
            detectors.extend(patterns(Path::new(&path))?);
        }
        let keep = match self.text("content.keep") {
            "true" => true,
            "false" => false,
            _ => return Err(self.wrong("content.keep", "true or false")),
        };
        let bytes = |key| {
            usize::try_from(self.number(key)?).map_err(|_| self.wrong(key, "bytes of memory"))
        };
        Ok(Policy::new(detectors)
            .with_content(keep, bytes("content.bytes_max")?)
            .with_text_bytes_max(bytes("content.attribute_bytes_max")?))
    }
}

/// Patterns of one's own: `name = pattern`, one a line; lines that begin with `#` are remarks.
fn patterns(path: &Path) -> Result<Vec<Detector>, Error> {
    let wrong = |reason: String| Error::File {
        path: path.to_owned(),
        reason,
    };
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    });
    lines
        .map(|(at, line)| {
            let (name, pattern) = line
                .split_once('=')
                .ok_or_else(|| wrong(format!("line {}: {line:?} is not NAME = PATTERN", at + 1)))?;
            Detector::pattern(name.trim(), pattern.trim())
                .map_err(|e| wrong(format!("line {}: {e}", at + 1)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn policy(set: &[(&'static str, &str)]) -> Result<Policy, Error> {
        let flags: Vec<_> = set
            .iter()
            .map(|(key, value)| (*key, Some((*value).to_owned())))
            .collect();
        Settings::load(None, |_| None, &flags)?.policy()
    }

    #[test]
    fn settings_and_a_file_of_patterns_make_the_policy() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("patterns");
        std::fs::write(&file, "# ours\n\ncase = CASE-\\d+\n").unwrap();
        let policy = policy(&[
            ("content.redact", "email"),
            ("content.patterns", file.to_str().unwrap()),
        ]);
        let redacted = policy
            .unwrap()
            .redact("CASE-1 of a@b.org, 4111111111111111");
        assert_eq!(
            redacted.as_deref(),
            Some("[case] of [email], 4111111111111111")
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |set: &[(&'static str, &str)]| policy(set).unwrap_err().to_string();
        assert!(wrong(&[("content.redact", "key,names")]).contains("content.redact"));
        assert!(wrong(&[("content.keep", "yes")]).contains("true or false"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("patterns");
        std::fs::write(&file, "case = (\n").unwrap();
        let said = wrong(&[("content.patterns", file.to_str().unwrap())]);
        assert!(said.contains("line 1: redaction \"case\""), "{said}");
    }
}
