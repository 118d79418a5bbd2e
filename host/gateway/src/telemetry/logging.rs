//! Log lines: human or JSON, on standard error, at a level that a reload can change.

use std::io::IsTerminal as _;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people where standard error is a terminal, JSON elsewhere.
    Auto,
    /// One line for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Logging cannot be set up, or its level not changed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is none.
    #[error("not a log level")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// The process logs already.
    #[error("logging is set up already")]
    Again(#[from] TryInitError),
    /// The subscriber is gone.
    #[error("logging has ended")]
    Ended(#[from] reload::Error),
}

/// Changes what is logged while the program runs.
#[derive(Debug, Clone)]
pub struct LogHandle(reload::Handle<EnvFilter, Registry>);

impl LogHandle {
    /// Logs at `level` from now on: a level, or levels by module.
    ///
    /// # Errors
    /// `level` is none; nothing changes then.
    pub fn set_level(&self, level: &str) -> Result<(), LogError> {
        Ok(self.0.reload(EnvFilter::try_new(level)?)?)
    }
}

/// Sets up logging for the process: standard output stays free for what was asked for.
///
/// # Errors
/// `level` is none, or logging is set up already.
pub fn init(format: Format, level: &str) -> Result<LogHandle, LogError> {
    let (filter, handle) = reload::Layer::new(EnvFilter::try_new(level)?);
    let layer = layer(format, std::io::stderr);
    tracing_subscriber::registry()
        .with(filter)
        .with(layer)
        .try_init()?;
    Ok(LogHandle(handle))
}

type Filtered = tracing_subscriber::layer::Layered<reload::Layer<EnvFilter, Registry>, Registry>;

fn layer<W>(format: Format, writer: W) -> Box<dyn Layer<Filtered> + Send + Sync>
where
    W: for<'w> fmt::MakeWriter<'w> + Send + Sync + 'static,
{
    let terminal = std::io::stderr().is_terminal();
    let layer = fmt::layer().with_writer(writer);
    match format {
        Format::Json => layer
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
        Format::Auto if !terminal => layer
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
        Format::Auto | Format::Human => layer.with_ansi(terminal).boxed(),
    }
}

#[cfg(test)]
mod tests;
