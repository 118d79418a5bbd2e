//! The command line.
//!
//! Never does: more than parse, call and report; what a command does is elsewhere. The only module
//! that prints.
//! Read first: [`Command`].

mod channel;
mod gateway;
mod policy;

use std::io::{Write, stderr, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::app;
use crate::config::{self, Overrides, Sources};

/// A programmable gateway in front of AI providers.
#[derive(Debug, Parser)]
#[command(name = "weir", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve calls until told to stop.
    Serve(Settings),
    /// Look at settings.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Ask a running gateway about its channels.
    Channel {
        #[command(subcommand)]
        command: channel::Command,
    },
    /// Look at and change the policies of a running gateway.
    Policy {
        #[command(subcommand)]
        command: policy::Command,
    },
    /// Print a script that completes commands in a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Compiles one policy from standard input to standard output; started by `serve`.
    #[command(hide = true)]
    InternalCompile,
    /// Makes a component of a core module; started by the SDKs' build tools under `policy build`.
    #[command(hide = true)]
    InternalComponent(policy::Component),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check the settings and report every mistake.
    Check(Settings),
    /// Print what every setting means, as Markdown.
    Doc,
}

/// Where settings come from, and those that are set here.
#[derive(Debug, clap::Args)]
struct Settings {
    /// The settings file; else WEIR_CONFIG, else ./weir.toml where there is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address for callers.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Address of the admin API.
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<String>,
    /// Folder for what the program keeps.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Folder that is watched for policies.
    #[arg(long, value_name = "DIR")]
    policies_dir: Option<String>,
    /// Any other setting, for example `--set limits.attempts_max=3`. May be given several times.
    #[arg(long, value_name = "SETTING=VALUE")]
    set: Vec<String>,
}

impl Settings {
    fn overrides(&self) -> Overrides {
        let start = Overrides::new()
            .flag("--listen", "listen", self.listen.as_deref())
            .flag(
                "--admin-listen",
                "admin_listen",
                self.admin_listen.as_deref(),
            )
            .flag("--data-dir", "data_dir", self.data_dir.as_deref())
            .flag(
                "--policies-dir",
                "policies_dir",
                self.policies_dir.as_deref(),
            );
        self.set
            .iter()
            .fold(start, |overrides, setting| overrides.set(setting))
    }

    fn sources(&self) -> Result<Sources, String> {
        Sources::of_process(self.config.as_deref(), self.overrides())
            .map_err(|error| error.to_string())
    }
}

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(problem) => {
            let _ = writeln!(stderr(), "{problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode, String> {
    let done = match command {
        Command::Serve(settings) => {
            let (overrides, file) = (settings.overrides(), settings.config);
            app::serve(file, overrides).map_err(|error| format!("{error:#}"))
        }
        Command::Config {
            command: ConfigCommand::Check(settings),
        } => check(&settings),
        Command::Config {
            command: ConfigCommand::Doc,
        } => print(&config::settings_markdown()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "weir", &mut script);
            stdout()
                .write_all(&script)
                .map_err(|error| error.to_string())
        }
        Command::Channel { command } => return channel::run(command),
        Command::Policy { command } => return policy::run(command),
        Command::InternalComponent(component) => policy::component(&component),
        Command::InternalCompile => weir_policy::compile_main(stdin(), stdout()),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn check(settings: &Settings) -> Result<(), String> {
    let loaded = config::load(&settings.sources()?).map_err(|errors| errors.to_string())?;
    for warning in &loaded.warnings {
        let _ = writeln!(stderr(), "warning: {warning}");
    }
    print("The settings are in order.\n")
}

fn print(text: &str) -> Result<(), String> {
    stdout()
        .write_all(text.as_bytes())
        .map_err(|error| error.to_string())
}
