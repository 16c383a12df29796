//! What the tests need from outside: redis-server as the oracle, strace to record what a server does to its disk, network
//! namespaces for nodes, a Python with redis-py, a Node with ioredis. Each is found, or set up where that is possible, or a reason is
//! given.

use std::path::PathBuf;

use anyhow::Result;

use crate::shell::Shell;

/// A tool, or why there is none.
pub type Found<T> = Result<T, String>;

fn runs(shell: &Shell, program: &str, argument: &str) -> bool {
    shell.command(program).arg(argument).output().is_ok_and(|o| o.status.success())
}

/// Installs Debian packages with apt-get, where that is allowed.
fn apt(shell: &Shell, packages: &[&str]) -> Found<()> {
    let names = packages.join(", ");
    let is_root = shell.command("id").arg("-u").output().is_ok_and(|o| o.stdout.starts_with(b"0\n"));
    if !is_root || !runs(shell, "apt-get", "--version") {
        return Err(format!("{names}: not installed, and only root with apt-get could install it"));
    }
    println!("installing {names} with apt-get");
    let mut install = vec!["-qq", "install", "-y", "--no-install-recommends"];
    install.extend(packages);
    let done = shell.run("apt-get", &install).unwrap_or(false)
        || (shell.run("apt-get", &["-qq", "update"]).unwrap_or(false)
            && shell.run("apt-get", &install).unwrap_or(false));
    if done { Ok(()) } else { Err(format!("apt-get could not install {names}")) }
}

/// Makes sure that redis-server, redis-cli and redis-benchmark are there.
pub fn redis(shell: &Shell) -> Found<()> {
    if runs(shell, "redis-server", "--version") && runs(shell, "redis-benchmark", "--version") {
        return Ok(());
    }
    apt(shell, &["redis-server", "redis-tools"])
}

/// Makes sure that strace is there, which records what a server does to its disk.
pub fn strace(shell: &Shell) -> Found<()> {
    if runs(shell, "strace", "-V") {
        return Ok(());
    }
    apt(shell, &["strace"])
}

/// Makes sure that network namespaces can be made, in which nodes are cut off from each other.
pub fn namespaces(shell: &Shell) -> Found<()> {
    if !runs(shell, "ip", "-V") {
        apt(shell, &["iproute2"])?;
    }
    let ip = |words: &[&str]| shell.command("ip").args(words).output().is_ok_and(|output| output.status.success());
    let name = format!("xtask-{}", std::process::id());
    if ip(&["netns", "add", &name]) && ip(&["netns", "del", &name]) {
        return Ok(());
    }
    Err("network namespaces: they cannot be made here (that takes root)".to_owned())
}

/// A virtual environment with the pinned redis-py; its interpreter.
pub fn python(shell: &Shell) -> Found<PathBuf> {
    let can_make_environments =
        shell.command("python3").args(["-c", "import venv, ensurepip"]).output().is_ok_and(|o| o.status.success());
    if !can_make_environments {
        apt(shell, &["python3", "python3-venv"])?;
    }
    let folder = shell.target().join("clients/redis-py");
    let interpreter = folder.join("bin/python");
    let path = folder.to_string_lossy().into_owned();
    if !interpreter.exists() && !shell.run("python3", &["-m", "venv", &path]).unwrap_or(false) {
        return Err("python3 -m venv failed".into());
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
        apt(shell, &["nodejs", "npm"])?;
    }
    if shell.run("npm", &["--prefix", "tests/clients/ioredis", "ci", "--silent"]).unwrap_or(false) {
        Ok(())
    } else {
        Err("npm ci could not install ioredis".into())
    }
}
