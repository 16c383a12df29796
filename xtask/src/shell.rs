//! Running programs at the root of the repository.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Where the repository is, and cargo.
pub struct Shell {
    root: PathBuf,
    cargo: PathBuf,
}

impl Shell {
    /// Finds the root: the folder above xtask's own.
    pub fn at_root() -> Result<Shell> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has a parent folder")?.to_owned();
        let cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
        Ok(Shell { root, cargo })
    }

    /// The root of the repository.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where cargo puts its results.
    pub fn target(&self) -> PathBuf {
        match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => self.root.join(dir),
            None => self.root.join("target"),
        }
    }

    /// A program to be run at the root.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    /// Runs a program; whether it succeeded.
    pub fn run(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Result<bool> {
        let name = program.as_ref().to_string_lossy().into_owned();
        let status = self.command(program).args(arguments).status().with_context(|| format!("run {name}"))?;
        Ok(status.success())
    }

    /// Runs cargo; whether it succeeded.
    pub fn cargo(&self, arguments: &[&str]) -> Result<bool> {
        self.run(&self.cargo, arguments)
    }

    /// The same with more in the environment.
    pub fn cargo_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Result<bool> {
        let mut command = self.command(&self.cargo);
        command.args(arguments).envs(environment.iter().copied());
        Ok(command.status().context("run cargo")?.success())
    }

    /// What cargo prints, and whether it succeeded.
    pub fn cargo_output(&self, arguments: &[&str]) -> Result<(bool, String)> {
        let output = self.command(&self.cargo).args(arguments).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        Ok((output.status.success(), text))
    }

    /// Builds the server and the harnesses in the dev profile and runs a harness against the server.
    /// `$SUT` and `$ORACLE` may name other servers.
    pub fn proof(&self, arguments: &[&str]) -> Result<bool> {
        ensure!(self.cargo(&["build", "--quiet", "-p", "anabranch", "-p", "proof"])?, "the build failed");
        self.harness(&self.target().join("debug"), arguments)
    }

    /// Runs a harness that is built already, against the server beside it.
    pub fn harness(&self, folder: &Path, arguments: &[&str]) -> Result<bool> {
        let mut command = self.command(folder.join("proof"));
        if std::env::var_os("SUT").is_none() {
            command.env("SUT", format!("{} serve", folder.join("anabranch").display()));
        }
        Ok(command.args(arguments).status().context("run the harness")?.success())
    }

    /// Builds everything in the release profile and runs a harness that measures.
    pub fn measure(&self, which: &str, rest: &[String]) -> Result<bool> {
        ensure!(self.cargo(&["build", "--release", "-p", "anabranch", "-p", "proof"])?, "the build failed");
        let mut words = vec![which];
        words.extend(rest.iter().map(String::as_str));
        self.harness(&self.target().join("release"), &words)
    }

    /// Measures the blob store beside its peers, all parts or those named, and writes the page of all figures that
    /// are kept in the target folder.
    pub fn bench_blob(&self, rest: &[String]) -> Result<bool> {
        let (data, results) = (self.target().join("blob-bench"), self.target().join("blob-bench-results"));
        let words = ["run", "--release", "--quiet", "--locked", "--features", "foyer"];
        let mut command = self.command(&self.cargo);
        command.args(words).args(["--manifest-path", "crates/blob/bench/Cargo.toml", "--"]);
        let output = command.arg(&data).arg(&results).args(rest).stderr(Stdio::inherit()).output()?;
        if output.status.success() {
            let tables = String::from_utf8(output.stdout).context("its output is text")?;
            std::fs::write(self.root.join("docs/benchmarks-blob.md"), format!("{BLOB_PAGE}{tables}"))?;
            println!("docs/benchmarks-blob.md is written");
        }
        Ok(output.status.success())
    }
}

/// The head of the page that [`Shell::bench_blob`] writes.
const BLOB_PAGE: &str = "# Benchmarks of the blob store

Written by `cargo xtask bench blob`; do not edit (the remarks are in `crates/blob/bench/REMARKS.md`). The blob store beside foyer and
beside plain files, one after the other on the same machine: incompressible values, the same bounds on disk and RAM for each.
Every phase of every store is a process of its own. The parts can be measured apart with `--only PART`; each says when it was.

";
