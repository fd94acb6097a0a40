//! No file of the repository names a folder of one particular machine: what works only there
//! works for nobody else.

use std::{path::Path, process::Command};

use crate::tools::{self, Outcome};

/// Folders whose files were written by others.
const NOT_OURS: &[&str] = &["tests/data/"];

/// Beginnings of paths that lead into somebody's account. Split, so that this file passes itself.
const ACCOUNTS: &[&str] = &[
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("\\Us", "ers\\"),
];

/// Looks through all files that git knows or would add.
///
/// # Errors
/// Names file, line and what was found.
pub(crate) fn check() -> Outcome {
    let mut forbidden: Vec<String> = ACCOUNTS.iter().map(|text| (*text).to_owned()).collect();
    forbidden.extend(own_folders(&tools::root()));
    let files = repository_files()?;
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| !NOT_OURS.iter().any(|folder| file.starts_with(folder)))
    {
        // A file that is listed but deleted in the work tree has nothing to say.
        let Ok(bytes) = std::fs::read(tools::root().join(file)) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        findings.extend(
            find_in(&text, &forbidden).map(|(line, what)| format!("{file}:{line}: {what}")),
        );
    }
    if findings.is_empty() {
        println!("{} files name no folder of a particular machine", files.len());
        Ok(())
    } else {
        Err(format!("paths of one machine:\n  {}", findings.join("\n  ")))
    }
}

/// The folder of this checkout, where it says more than one name.
fn own_folders(root: &Path) -> Option<String> {
    (root.components().count() > 2).then(|| root.display().to_string())
}

fn repository_files() -> Outcome<Vec<String>> {
    let list = tools::output(Command::new("git").current_dir(tools::root()).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    Ok(list.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// Line numbers, from 1, with the forbidden text that stands there.
fn find_in<'a>(
    text: &'a str,
    forbidden: &'a [String],
) -> impl Iterator<Item = (usize, &'a str)> + 'a {
    text.lines().enumerate().flat_map(move |(index, line)| {
        forbidden
            .iter()
            .filter(move |path| names(line, path))
            .map(move |path| (index + 1, path.as_str()))
    })
}

/// Whether the path begins there, and is not the middle of a longer one or of an address.
fn names(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        !line[..at].ends_with(|before: char| {
            before.is_alphanumeric() || matches!(before, '.' | '_' | '-' | '}' | '>')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, String)> {
        let forbidden: Vec<String> = ACCOUNTS.iter().map(|text| (*text).to_owned()).collect();
        find_in(text, &forbidden).map(|(line, what)| (line, what.to_owned())).collect()
    }

    #[test]
    fn a_path_into_an_account_is_found_with_its_line() {
        for account in ACCOUNTS {
            let text = format!("first\nat {account}somebody/file\n");
            assert_eq!(found(&text), [(2, (*account).to_owned())]);
        }
    }

    #[test]
    fn an_address_or_a_relative_path_is_not_taken_for_one() {
        for prefix in ["example.com", "./pages", "$HOME", "target"] {
            assert_eq!(found(&format!("see {prefix}{}x", ACCOUNTS[1])), []);
        }
    }

    #[test]
    fn the_folder_of_the_checkout_is_forbidden_unless_it_is_the_machine_s_root() {
        assert_eq!(own_folders(Path::new("/")), None);
        assert_eq!(own_folders(Path::new("/src")), None);
        assert_eq!(own_folders(Path::new("/a/b")), Some("/a/b".to_owned()));
    }
}
