//! What needs a process of its own: starting, memory, instructions.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use strongroom_benches::{Project, Result, Vault, cargo_build, profile_dir, store};

use crate::Setting;
use crate::measure::{Spread, Turns, nanoseconds};
use crate::table::{Bound, Row, Verdict, time};

/// `strongroom run` of a component that reads one secret, from start to exit, less what any program takes.
pub(crate) fn start(setting: &Setting) -> Result<Vec<Row>> {
    // As one installs it; where only that it works is asked, from the libraries that the tests have built.
    cargo_build(setting.scale.of(
        &["--package", "strongroom-cli"],
        &["--workspace", "--bin", "strongroom", "--examples"],
    ))?;
    let program = profile_dir()?.join("strongroom");
    let store = setting.wait(store(setting.scale.of(100, 10)))?;
    let project = Project::new(Vault::Local(&store.folder), "process", 1)?;
    let run = || {
        let mut command = Command::new(&program);
        command
            .arg("--config")
            .arg(project.config())
            .args(["run", "--name", "c0"])
            .arg(setting.guests.join("read_secret.wasm"))
            .args(["--", "s/1"])
            // Its cache of compiled code goes with the project.
            .env("HOME", project.folder())
            .env_remove("XDG_CACHE_HOME");
        command
    };
    output(&mut run())?;
    let mut turns = Turns::default();
    for _ in 0..setting.scale.of(50, 1) {
        let ours = time_of(&mut run())?;
        turns.add(ours, time_of(&mut Command::new("true"))?);
    }
    Ok(vec![Row::number(
        "strongroom run, start to exit, less `true`",
        (time(turns.ours().median), time(turns.against().median)),
        turns.difference(),
        Bound::AtMost(50e6),
        time,
    )])
}

/// Memory of one more live instance with a handle.
pub(crate) fn memory(setting: &Setting) -> Result<Vec<Row>> {
    let n = setting.scale.of(1000, 3);
    let mut command = Command::new(env!("CARGO_BIN_EXE_live_instances"));
    let printed = output(command.arg(&setting.guests).arg(n.to_string()))?;
    let text = String::from_utf8(printed.stdout)?;
    let numbers: Vec<f64> = text
        .lines()
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()?;
    let [one, all] = numbers.as_slice() else {
        return Err("live_instances did not print two numbers".into());
    };
    let each = (all - one) / f64::from(n - 1);
    let kib = |kib: f64| format!("{kib:.0} KiB");
    Ok(vec![Row::number(
        format!("memory (PSS) of {n} instances with a handle, less 1"),
        (kib(*all), kib(*one)),
        Spread::of(&[each]),
        Bound::AtMost(200.0),
        |kib| format!("{kib:.0} KiB each"),
    )])
}

/// Instructions of a warm `Session::get`: the same on every machine of a kind, so that a change shows
/// that times would hide.
pub(crate) fn instructions(setting: &Setting) -> Result<Vec<Row>> {
    const MEASURE: &str = "instructions of a warm get, without the guest";
    if Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        let why = Verdict::NotMeasured("valgrind is not installed".to_owned());
        return Ok(vec![Row::fact(MEASURE, Default::default(), "", why)]);
    }
    let folder = tempfile::tempdir()?;
    let n: u32 = setting.scale.of(5000, 10);
    let once = count(folder.path(), n)?;
    let twice = count(folder.path(), 2 * n)?;
    let each = twice.saturating_sub(once) / u64::from(n);
    let shown = (each.to_string(), String::new());
    Ok(vec![Row::fact(MEASURE, shown, "", Verdict::None)])
}

/// Instructions of the thread that asks; the log's own threads are not counted.
fn count(folder: &Path, n: u32) -> Result<u64> {
    let out = folder.join(format!("callgrind.{n}"));
    let mut option = std::ffi::OsString::from("--callgrind-out-file=");
    option.push(&out);
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--separate-threads=yes"])
        .arg(option)
        .arg(env!("CARGO_BIN_EXE_warm_path"))
        .arg(n.to_string());
    output(&mut command)?;
    let mut main = out.into_os_string();
    main.push("-01");
    let profile = std::fs::read_to_string(PathBuf::from(main))?;
    let totals = profile
        .lines()
        .find_map(|line| line.strip_prefix("totals: "));
    Ok(totals.ok_or("valgrind counted nothing")?.trim().parse()?)
}

fn time_of(command: &mut Command) -> Result<f64> {
    let begun = Instant::now();
    output(command)?;
    Ok(nanoseconds(begun.elapsed()))
}

/// Runs a program, which must succeed.
fn output(command: &mut Command) -> Result<Output> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(output);
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {}", output.status, told.trim()).into())
}
