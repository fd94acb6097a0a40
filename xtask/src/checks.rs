//! `cargo xtask check`: what is true of the tree without running the product.

use crate::{
    machine_paths, peers,
    steps::Steps,
    tools::{self, Outcome},
};

/// The checks alone.
pub(crate) fn run() -> Outcome {
    let mut steps = Steps::default();
    all(&mut steps);
    steps.finish()
}

/// The checks as steps of a longer command.
pub(crate) fn all(steps: &mut Steps) {
    steps.step("format", || tools::run(tools::cargo().args(["fmt", "--all", "--", "--check"])));
    steps.step("clippy", || {
        tools::run(tools::cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))
    });
    steps.step("documentation", || {
        tools::run(
            tools::cargo()
                .args(["doc", "--workspace", "--no-deps"])
                .env("RUSTDOCFLAGS", "-D warnings"),
        )
    });
    steps.step("licences, bans, sources and advisories", || {
        let deny = peers::cargo_deny()?;
        tools::run(
            std::process::Command::new(deny)
                .current_dir(tools::root())
                // The advisory database is one more host to reach; what concerns us stands as
                // bans with reasons in deny.toml.
                .args(["--workspace", "check", "licenses", "bans", "sources"]),
        )
    });
    steps.step("layers", || {
        // The whole workspace, so that dependencies have the features of the later steps.
        tools::run(tools::cargo().args(["test", "--workspace", "--test", "architecture"]))
    });
    steps.step("machine paths", machine_paths::check);
}

#[cfg(test)]
mod tests {
    use crate::tools;

    /// `name@<1.2.3` is taken for an exact version, matches nothing and bans nothing, silently.
    #[test]
    fn a_ban_of_a_range_is_written_with_a_colon() {
        let text = tools::read(&tools::root().join("deny.toml")).unwrap();
        let ranges: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("crate = ") && line.contains('<'))
            .collect();
        assert!(ranges.len() > 5, "{ranges:?}");
        for line in ranges {
            assert!(line.contains(":<"), "{line}");
        }
    }
}
