//! The program itself: what the command sees, its exit code, and that nothing outlives it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

const NAMES: [&str; 4] = ["TEST_DATABASE_URL", "TEST_REDIS_URL", "TEST_AMQP_URL", "TEST_RABBITMQ_API_URL"];

/// `devservices run -- sh -c SCRIPT` in a directory that is removed even when the program cannot do it any more, and
/// without the services that this test itself may have been given.
fn run(script: &str, directory: &TempDir) -> Command {
    // PostgreSQL's user must be able to enter it.
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_devservices"));
    command
        .args(["run", "--", "sh", "-c", script])
        .stdout(Stdio::piped())
        .env("TMPDIR", directory.path());
    NAMES.iter().for_each(|name| _ = command.env_remove(name));
    command
}

fn listens(url: &str) -> bool {
    let authority = url.split("//").nth(1).unwrap().rsplit('@').next().unwrap().split('/').next().unwrap();
    TcpStream::connect(authority).is_ok()
}

const PRINT: &str = r#"printf '%s\n' "$TEST_DATABASE_URL" "$TEST_REDIS_URL" "$TEST_AMQP_URL" "$TEST_RABBITMQ_API_URL""#;

#[test]
fn the_command_gets_running_servers_and_its_exit_code_is_passed_on() {
    let directory = TempDir::new().unwrap();
    let mut child = run(&format!("{PRINT}; read -r go; exit 7"), &directory)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let urls: Vec<String> = lines.map(Result::unwrap).take(4).collect();
    assert_eq!(urls.len(), 4);
    assert!(urls.iter().all(|url| listens(url)), "{urls:?}");
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(7));
    assert!(!urls.iter().any(|url| listens(url)), "{urls:?}");
}

#[test]
fn nothing_outlives_a_killed_process() {
    let directory = TempDir::new().unwrap();
    // The command ends with its input, that is with this test.
    let mut child = run(&format!("{PRINT}; cat"), &directory).stdin(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let urls: Vec<String> = lines.map(Result::unwrap).take(4).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    for _ in 0..100 {
        if !urls.iter().any(|url| listens(url)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("servers are still running ten seconds after their owner was killed: {urls:?}");
}

#[test]
fn without_a_command_the_usage_is_shown() {
    let output = Command::new(env!("CARGO_BIN_EXE_devservices")).arg("run").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("usage: devservices run -- COMMAND"));
}
