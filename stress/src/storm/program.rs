//! Finds the programs of this workspace, or has cargo build them.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::error::SpawnError;

/// The program `psn-storm`, as the [module](super) says.
///
/// # Errors
/// When the program does not exist and cannot be built.
pub fn find_program() -> Result<PathBuf, SpawnError> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    if let Some(program) = env::var_os("PSN_STORM") {
        return Ok(program.into());
    }
    let found = FOUND.get_or_init(|| built_program("psn-stress", "psn-storm"));
    found.clone().map_err(SpawnError::NoProgram)
}

/// A program of this workspace: built by cargo, or, without cargo, the one beside this program.
pub(crate) fn built_program(package: &str, name: &str) -> Result<PathBuf, String> {
    let test = env::current_exe().map_err(|error| error.to_string())?;
    match env::var_os("CARGO") {
        Some(cargo) => build(&cargo, &test, package, name),
        None => beside(&test, name).ok_or_else(|| format!("{name} is not beside {}", test.display())),
    }
}

/// Has cargo build the program into the target directory the test is in, with its profile.
fn build(cargo: &OsString, test: &Path, package: &str, program: &str) -> Result<PathBuf, String> {
    // TARGET/PROFILE/deps/test, where examples and programs have no `deps`
    let dir = test.parent().ok_or("this program is in no directory")?;
    let profile = if dir.ends_with("deps") { dir.parent().unwrap_or(dir) } else { dir };
    let name = profile.file_name().and_then(|name| name.to_str()).unwrap_or("debug");
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--package", package, "--bin", program])
        .args(["--message-format", "json-render-diagnostics"])
        .args(["--profile", if name == "debug" { "dev" } else { name }])
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .arg("--target-dir")
        .arg(profile.parent().unwrap_or(profile));
    let output = command.output().map_err(|error| error.to_string())?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let executable = messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == program).then_some(())?;
        Some(PathBuf::from(message["executable"].as_str()?))
    });
    executable.ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

fn beside(test: &Path, name: &str) -> Option<PathBuf> {
    test.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|path| path.is_file())
}
