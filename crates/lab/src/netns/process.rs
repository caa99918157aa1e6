//! Programs that run in the background, read line by line.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::command;
use super::wait::{deadline, wait_until};

/// A program in the background, whose output is kept; it is killed on drop.
///
/// ```no_run
/// # let host = manycast_lab::netns::Lab::new().host("a");
/// use manycast_lab::netns::Process;
///
/// let mut ping = Process::start(host.command("ping").args(["-c", "1", "127.0.0.1"]));
/// ping.wait_for_line("1 received");
/// assert!(ping.finish().status.success());
/// ```
#[derive(Debug)]
pub struct Process {
    line: String,
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

/// What a [`Process`] printed, and how it ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// The lines of its standard output.
    pub stdout: Vec<String>,
    /// The lines of its standard error.
    pub stderr: Vec<String>,
}

impl Process {
    /// Starts a command, of a host or of the machine, with all three streams piped.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let line = command::line_of(command);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start `{line}`: {error}"));
        let stdout = Lines::of(child.stdout.take());
        let stderr = Lines::of(child.stderr.take());
        Self {
            line,
            child,
            stdout,
            stderr,
        }
    }

    /// Waits for a line of standard output that contains `text`, and gives it.
    ///
    /// The search goes on where the one before stopped, so each line is found once. When the program
    /// ends without such a line, or a little before the test would be killed, it panics with what
    /// was printed.
    #[track_caller]
    pub fn wait_for_line(&mut self, text: &str) -> String {
        match self.stdout.find(text) {
            Some(line) => line,
            None => self.fail(&format!("no line with {text:?}")),
        }
    }

    /// Like [`wait_for_line`](Self::wait_for_line), in standard error.
    #[track_caller]
    pub fn wait_for_error_line(&mut self, text: &str) -> String {
        match self.stderr.find(text) {
            Some(line) => line,
            None => self.fail(&format!("no line with {text:?} in standard error")),
        }
    }

    /// The lines of standard output so far.
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.all()
    }

    /// The lines of standard error so far.
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.all()
    }

    /// Writes `text` and a line's end to the program's standard input.
    #[track_caller]
    pub fn write_line(&mut self, text: &str) {
        let Some(stdin) = &mut self.child.stdin else {
            panic!("the standard input of `{}` is closed", self.line)
        };
        if let Err(error) = writeln!(stdin, "{text}") {
            self.fail(&format!("cannot write {text:?} to it: {error}"));
        }
    }

    /// Closes the program's standard input.
    pub fn close_stdin(&mut self) {
        self.child.stdin = None;
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends the signal that Ctrl-C sends (`SIGINT`).
    #[track_caller]
    pub fn interrupt(&mut self) {
        let id = i32::try_from(self.id()).expect("process numbers are below 2^22");
        if let Err(errno) = kill(Pid::from_raw(id), Signal::SIGINT) {
            self.fail(&format!("cannot interrupt it: {errno}"));
        }
    }

    /// Whether the program still runs.
    #[track_caller]
    pub fn is_running(&mut self) -> bool {
        match self.child.try_wait() {
            Ok(status) => status.is_none(),
            Err(error) => self.fail(&format!("cannot ask for its state: {error}")),
        }
    }

    /// Closes the program's standard input, waits for its own end, and gives all that it printed.
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        self.close_stdin();
        wait_until(&format!("the end of `{}`", self.line), || {
            !self.is_running()
        });
        self.stdout.wait_for_end();
        self.stderr.wait_for_end();
        match self.child.wait() {
            Ok(status) => Finished {
                status,
                stdout: self.stdout(),
                stderr: self.stderr(),
            },
            Err(error) => self.fail(&format!("cannot ask for its end: {error}")),
        }
    }

    #[track_caller]
    fn fail(&mut self, problem: &str) -> ! {
        let state = match self.child.try_wait() {
            Ok(Some(status)) => status.to_string(),
            _ => "it still runs".to_owned(),
        };
        panic!(
            "`{}`: {problem} ({state})\nstandard output:\n{}\nstandard error:\n{}",
            self.line,
            self.stdout().join("\n"),
            self.stderr().join("\n")
        );
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One output stream: a thread reads it, and others wait for its lines.
#[derive(Debug)]
struct Lines {
    shared: Arc<Shared>,
    /// How many lines [`find`](Self::find) has passed.
    passed: usize,
}

#[derive(Debug, Default)]
struct Shared {
    text: Mutex<Text>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Text {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn of(stream: Option<impl Read + Send + 'static>) -> Self {
        let shared = Arc::<Shared>::default();
        let reader = Arc::clone(&shared);
        thread::spawn(move || {
            let mut stream = stream.map(BufReader::new);
            let mut line = Vec::new();
            while let Some(stream) = &mut stream
                && matches!(stream.read_until(b'\n', &mut line), Ok(1..))
            {
                let text = String::from_utf8_lossy(&line)
                    .trim_end_matches(['\r', '\n'])
                    .to_owned();
                reader.change(|state| state.lines.push(text));
                line.clear();
            }
            reader.change(|state| state.ended = true);
        });
        Self { shared, passed: 0 }
    }

    fn find(&mut self, text: &str) -> Option<String> {
        let mut passed = self.passed;
        let mut found = None;
        self.shared.wait(|state| {
            while found.is_none() && passed < state.lines.len() {
                found = Some(&state.lines[passed])
                    .filter(|line| line.contains(text))
                    .cloned();
                passed += 1;
            }
            found.is_some() || state.ended
        });
        self.passed = passed;
        found
    }

    fn wait_for_end(&self) {
        self.shared.wait(|state| state.ended);
    }

    fn all(&self) -> Vec<String> {
        self.shared.lock().lines.clone()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Text> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Text)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until `done`, or until a wait is in vain.
    fn wait(&self, mut done: impl FnMut(&Text) -> bool) {
        let deadline = deadline();
        let mut state = self.lock();
        while !done(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return;
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }
}
