//! `docs/commands.md` is generated from the binary's own command table.

use std::fs;

use anyhow::{Context, Result, bail, ensure};

use crate::shell::Shell;

const PAGE: &str = "docs/commands.md";

/// Writes the page, or with `check` says whether it is current.
pub fn run(shell: &Shell, check: bool) -> Result<bool> {
    ensure!(shell.cargo(&["build", "--quiet", "-p", "anabranch"])?, "the build failed");
    let output = shell.command(shell.target().join("debug/anabranch")).arg("commands-doc").output()?;
    if !output.status.success() || output.stdout.is_empty() {
        bail!("`anabranch commands-doc` gave no page: {}", String::from_utf8_lossy(&output.stderr));
    }
    let path = shell.root().join(PAGE);
    if !check {
        fs::write(&path, &output.stdout).context(PAGE)?;
        println!("docs: {PAGE} written");
        return Ok(true);
    }
    let current = fs::read(&path).unwrap_or_default() == output.stdout;
    println!("docs: {PAGE} is {}", if current { "current" } else { "stale: run `cargo xtask docs`" });
    Ok(current)
}
