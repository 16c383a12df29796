//! What the tests need from outside: redis-server as the oracle, a Python with redis-py, a Node with ioredis.
//! Each is found, or set up where that is possible, or a reason is given.

use std::path::PathBuf;

use anyhow::Result;

use crate::shell::Shell;

/// A tool, or why there is none.
pub type Found<T> = Result<T, String>;

fn runs(shell: &Shell, program: &str, argument: &str) -> bool {
    shell.command(program).arg(argument).output().is_ok_and(|o| o.status.success())
}

/// Makes sure that redis-server, redis-cli and redis-benchmark are there, with apt-get where it may.
pub fn redis(shell: &Shell) -> Found<()> {
    let there = || runs(shell, "redis-server", "--version") && runs(shell, "redis-benchmark", "--version");
    if there() {
        return Ok(());
    }
    let is_root = shell.command("id").arg("-u").output().is_ok_and(|o| o.stdout.starts_with(b"0\n"));
    if !is_root || !runs(shell, "apt-get", "--version") {
        return Err("redis-server is not installed, and only root with apt-get could install it".into());
    }
    println!("installing redis-server with apt-get");
    let install = ["-qq", "install", "-y", "--no-install-recommends", "redis-server", "redis-tools"];
    let done = shell.run("apt-get", &install).unwrap_or(false)
        || (shell.run("apt-get", &["-qq", "update"]).unwrap_or(false)
            && shell.run("apt-get", &install).unwrap_or(false));
    if done && there() { Ok(()) } else { Err("apt-get could not install redis-server".into()) }
}

/// A virtual environment with the pinned redis-py; its interpreter.
pub fn python(shell: &Shell) -> Found<PathBuf> {
    if !runs(shell, "python3", "--version") {
        return Err("python3 is not installed".into());
    }
    let folder = shell.target().join("clients/redis-py");
    let interpreter = folder.join("bin/python");
    let path = folder.to_string_lossy().into_owned();
    if !interpreter.exists() && !shell.run("python3", &["-m", "venv", &path]).unwrap_or(false) {
        return Err("python3 -m venv failed (is python3-venv installed?)".into());
    }
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
        "tests/clients/redis-py/requirements.txt",
    ];
    if shell.run(&interpreter, &install).unwrap_or(false) {
        Ok(interpreter)
    } else {
        Err("pip could not install redis-py".into())
    }
}

/// ioredis in its folder, exactly as the lock file says.
pub fn node(shell: &Shell) -> Found<()> {
    if !runs(shell, "node", "--version") || !runs(shell, "npm", "--version") {
        return Err("node and npm are not installed".into());
    }
    if shell.run("npm", &["--prefix", "tests/clients/ioredis", "ci", "--silent"]).unwrap_or(false) {
        Ok(())
    } else {
        Err("npm ci could not install ioredis".into())
    }
}
