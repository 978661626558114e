//! `cargo xtask demo`: from nothing to a component that has a secret, in a folder of its own.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{IsTerminal, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, process as this};

use crate::process::{self, Result};
use crate::{guests, workspace};

/// Who may do what, in the demo's project.
const COMPONENTS: &str = r#"
[component.payments]
wasm = "read_secret.wasm"
grants = [{ vault = "app-secrets", secrets = ["stripe/*"], actions = ["read"] }]

[component.orders]
wasm = "json_secret.wasm"
grants = [{ vault = "app-secrets", secrets = ["db/main"], actions = ["read"] }]

[component.mailer]
wasm = "get_many.wasm"
grants = [{ vault = "app-secrets", secrets = ["smtp/*", "stripe/*"], actions = ["read"] }]

[component.webhooks]
wasm = "writer.wasm"
grants = [{ vault = "app-secrets", secrets = ["stripe/webhook"], actions = ["data-write"] }]

[component.curious]
wasm = "refused.wasm"
grants = [{ vault = "app-secrets", secrets = ["stripe/*"], actions = ["read"] }]
"#;

/// Values of the demo's secrets. They are nobody's.
const SECRETS: [(&str, &str); 3] = [
    ("stripe/api-key", "sk_test_an_example_and_no_real_key"),
    (
        "db/main",
        r#"{"host":"db.internal","port":5432,"username":"app","password":"correct horse"}"#,
    ),
    ("smtp/password", "battery staple"),
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to make the project [default: a new folder for temporary files]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    heading("Building the command and the guests");
    let guests = guests::build(false)?;
    let mut build = process::cargo();
    build.args([
        "build",
        "--quiet",
        "--workspace",
        "--bin",
        "strongroom",
        // The features of all libraries are then those of `cargo xtask test`, which builds none again.
        "--examples",
    ]);
    process::run(&mut build)?;
    let strongroom = workspace::target_dir()?.join("debug").join("strongroom");

    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => env::temp_dir().join(format!("strongroom-demo-{}", this::id())),
    };
    make_private(&dir)?;
    let demo = Demo {
        strongroom,
        dir: dir.canonicalize()?,
    };
    demo.set_up(&guests)?;
    demo.show()?;
    demo.what_next();
    Ok(())
}

/// A project, and the command that works in it.
struct Demo {
    strongroom: PathBuf,
    dir: PathBuf,
}

impl Demo {
    fn set_up(&self, guests: &Path) -> Result<()> {
        heading("A project with one encrypted vault");
        self.run(&["init", "--vault", "app-secrets"])?;
        for (reference, value) in SECRETS {
            self.set(reference, value)?;
        }
        self.run(&["list"])?;

        heading("Who may do what");
        let config = self.dir.join("strongroom.toml");
        let mut file = OpenOptions::new().append(true).open(config)?;
        file.write_all(COMPONENTS.as_bytes())?;
        println!("added to strongroom.toml:\n{}", indented(COMPONENTS.trim()));
        for guest in [
            "read_secret",
            "json_secret",
            "get_many",
            "writer",
            "refused",
        ] {
            let name = format!("{guest}.wasm");
            fs::copy(guests.join(&name), self.dir.join(&name))?;
        }
        Ok(())
    }

    fn show(&self) -> Result<()> {
        heading("What components get");
        self.run(&["run", "read_secret.wasm"])?;
        self.run(&["run", "json_secret.wasm"])?;

        heading("Each secret is decided on its own");
        self.run(&["run", "get_many.wasm"])?;

        heading("Writing without reading");
        self.run(&["run", "writer.wasm"])?;

        heading("What a component is refused");
        self.run(&["run", "refused.wasm"])?;
        self.answers(&["check", "payments", "read", "stripe/api-key"])?;
        self.answers(&["check", "payments", "read", "db/main"])?;

        heading("The audit trail: every call above, none of the values");
        self.run(&["audit", "show", "--secret", "app-secrets:"])?;
        self.run(&["audit", "verify"])
    }

    fn what_next(&self) {
        heading("Try next");
        println!(
            "  cd {dir}\n  \
             alias strongroom={strongroom}\n  \
             strongroom get stripe/api-key\n  \
             strongroom run read_secret.wasm -- db/main      # denied\n  \
             strongroom versions stripe/webhook\n  \
             strongroom audit show --outcome denied\n  \
             $EDITOR strongroom.toml                         # change a grant, run again\n  \
             sed -i 's/denied/allowed/' audit.jsonl          # tamper with the log, and\n  \
             strongroom audit verify                         # see it found out",
            dir = self.dir.display(),
            strongroom = self.strongroom.display(),
        );
    }

    /// Shows a command and what it prints; the demo ends where it fails.
    fn run(&self, args: &[&str]) -> Result<()> {
        echo(&format!("strongroom {}", args.join(" ")));
        let status = self.command(args).status()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("{status}: {}", args.join(" ")).into())
        }
    }

    /// The same for a question, of which `denied` is an answer.
    fn answers(&self, args: &[&str]) -> Result<()> {
        const DENIED: i32 = 3;
        echo(&format!("strongroom {}", args.join(" ")));
        let status = self.command(args).status()?;
        match status.code() {
            Some(0 | DENIED) => Ok(()),
            _ => Err(format!("{status}: {}", args.join(" ")).into()),
        }
    }

    /// Sets a secret as a script would: through standard input, not through an argument.
    fn set(&self, reference: &str, value: &str) -> Result<()> {
        echo(&format!("printf %s '...' | strongroom set {reference}"));
        let mut set = self
            .command(&["set", reference])
            .stdin(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = set.stdin.take() {
            stdin.write_all(value.as_bytes())?;
        }
        let status = set.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("{status}: set {reference}").into())
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.strongroom);
        // The demo's own configuration, whatever this shell is set up for.
        command
            .current_dir(&self.dir)
            .args(args)
            .env_remove("STRONGROOM_CONFIG");
        command
    }
}

/// A new folder that nobody else can look into.
fn make_private(dir: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(dir)
        .map_err(|error| format!("cannot make {}: {error}", dir.display()).into())
}

fn heading(text: &str) {
    if stdout().is_terminal() {
        println!("\n\x1b[1m== {text}\x1b[0m");
    } else {
        println!("\n== {text}");
    }
}

fn echo(command: &str) {
    if stdout().is_terminal() {
        println!("\n\x1b[36m$ {command}\x1b[0m");
    } else {
        println!("\n$ {command}");
    }
}

fn indented(text: &str) -> String {
    text.lines()
        .map(|line| {
            if line.is_empty() {
                String::new()
            } else {
                format!("    {line}")
            }
        })
        .collect::<Vec<_>>()
        .join("\n")
}
