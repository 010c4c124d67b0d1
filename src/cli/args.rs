//! What can be typed. The doc comments are the manual: the help and the reference page are made of
//! them, in Docker's style by [`super::help`].

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use clap::{ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum, ValueHint};

use crate::plugin::complete;

/// Ship a repo to Amazon ECS
///
/// Builds the image, pushes it to Amazon ECR, registers a new revision of the task definition, updates
/// the service and watches until the old tasks have drained. What to ship is said in ship.toml.
#[derive(Debug, Parser)]
#[command(disable_help_subcommand = true)]
pub struct Line {
    /// Without a verb the help is shown.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    Deploy(Deploy),
    Plan(Plan),
    Watch(Watch),
    Rollback(Rollback),
    StopDeployment(StopDeployment),
    Init(Init),
    Status(Status),
    Config(Config),
    Rehearse(Rehearse),
    History(History),
    Tasks(Tasks),
    Logs(Logs),
    Run(Run),
    Exec(Exec),
    Sandbox(Sandbox),
    Replay(Replay),
    Login(Login),
    Logout(Logout),
    Install(Install),
    Uninstall(Uninstall),
    Version(Version),
    Completion(Completion),
}

impl Verb {
    /// Where it looks, for those that look anywhere.
    #[must_use]
    pub const fn at(&self) -> Option<&Where> {
        Some(match self {
            Self::Deploy(args) => &args.selection.at,
            Self::Plan(args) => &args.selection.at,
            Self::Watch(args) => &args.selection.at,
            Self::Rollback(args) => &args.selection.at,
            Self::StopDeployment(args) => &args.selection.at,
            Self::Status(args) => &args.selection.at,
            Self::Rehearse(args) => &args.selection.at,
            Self::History(args) => &args.selection.at,
            Self::Tasks(args) => &args.selection.at,
            Self::Logs(args) => &args.selection.at,
            Self::Run(args) => &args.selection.at,
            Self::Exec(args) => &args.selection.at,
            Self::Login(args) => &args.at,
            Self::Init(_)
            | Self::Config(_)
            | Self::Sandbox(_)
            | Self::Replay(_)
            | Self::Logout(_)
            | Self::Install(_)
            | Self::Uninstall(_)
            | Self::Version(_)
            | Self::Completion(_) => return None,
        })
    }
}

/// Which file, which environment of it, and which AWS.
#[derive(Debug, Clone, Default, Args)]
pub struct Where {
    /// Environment of ship.toml to use
    #[arg(id = complete::ENVIRONMENT, short, long = "environment", value_name = "string")]
    pub environment: Option<String>,
    /// File to read (default: the nearest ship.toml, from here upwards)
    #[arg(id = complete::FILE, short, long = "file", value_name = "string", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// AWS region
    #[arg(long, value_name = "string")]
    pub region: Option<String>,
    /// AWS profile
    #[arg(long, value_name = "string")]
    pub profile: Option<String>,
}

/// Which part of which file, and which AWS.
#[derive(Debug, Clone, Default, Args)]
pub struct Selection {
    /// Services of ship.toml to work on; all of them when none is named
    #[arg(id = complete::SERVICES, value_name = "SERVICE")]
    pub services: Vec<String>,
    #[command(flatten)]
    pub at: Where,
    /// What ends a rollout, for the verbs that have a flag for it.
    #[arg(skip)]
    pub done_when: Option<DoneWhen>,
}

/// What ends the command when all goes well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DoneWhen {
    /// The new tasks serve; old ones may still drain
    Live,
    /// The old tasks are gone too
    Drained,
    /// ECS has also said that the service is steady
    Steady,
}

/// How a run is shown.
#[derive(Debug, Clone, Default, Args)]
pub struct Display {
    /// Set type of progress output
    #[arg(long, value_enum, value_name = "string")]
    pub progress: Option<Progress>,
    /// Write every event of the run to this file, one JSON object a line
    #[arg(long, value_name = "string", value_hint = ValueHint::FilePath)]
    pub record: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// A terminal where there is one, else plain
    Auto,
    /// Redrawn in place
    Tty,
    /// A line per change, made for logs
    Plain,
    /// One event a line on stdout
    Json,
    /// Nothing but the result
    Quiet,
}

/// Build, push and roll out
///
/// Builds and pushes the images, registers new revisions and rolls the services out, then watches until
/// the old tasks have drained. Nothing is built that the plan does not need, and a service that already
/// runs what would be shipped is left alone.
#[derive(Debug, Clone, Args)]
#[command(after_help = "  # Ship every service to staging
  docker ecs-ship deploy --environment staging

  # One service, without asking, into a log
  docker ecs-ship deploy --yes --progress plain api")]
pub struct Deploy {
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub display: Display,
    /// Act without asking
    #[arg(short, long)]
    pub yes: bool,
    /// End when the new tasks serve, the old ones are gone, or ECS is steady (default: as ship.toml says)
    #[arg(long, value_enum, value_name = "string")]
    pub done_when: Option<DoneWhen>,
    /// Wait until another deployment of a service has ended, instead of refusing
    #[arg(long)]
    pub wait_for_other: bool,
}

/// Show what deploy would do, and change nothing
///
/// For every service: what is built, which fields of the task definition change and how it is rolled out.
/// A definition that was changed outside of this program since its last ship is named with what becomes of
/// each field.
#[derive(Debug, Clone, Args)]
#[command(after_help = "  # Is there anything to ship? 0 says no, 6 says yes
  docker ecs-ship plan --exit-code --environment production")]
pub struct Plan {
    #[command(flatten)]
    pub selection: Selection,
    /// Format of the output
    #[arg(long, value_enum, value_name = "string", default_value = "table")]
    pub format: TableFormat,
    /// Exit with 6 when there is something to do
    #[arg(long)]
    pub exit_code: bool,
}

/// Write a first ship.toml
///
/// Made of the Dockerfile and, where a service is named or picked from a list, of what that service runs:
/// "plan" then has nothing to change but the image. Nothing that exists is overwritten.
#[derive(Debug, Clone, Args)]
#[command(after_help = "  # For a service that runs already
  docker ecs-ship init --cluster jobs --service jobs-api --region eu-west-1

  # Keep its task definition in the repo
  docker ecs-ship init --task-definition deploy/task.json")]
pub struct Init {
    /// ECS cluster of the service
    #[arg(long, value_name = "string")]
    pub cluster: Option<String>,
    /// ECS service to take over
    #[arg(long, value_name = "string")]
    pub service: Option<String>,
    /// Name to give the environment (default: production)
    #[arg(short, long, value_name = "string")]
    pub environment: Option<String>,
    /// File to write (default: ship.toml)
    #[arg(short, long, value_name = "string", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// AWS region
    #[arg(long, value_name = "string")]
    pub region: Option<String>,
    /// AWS profile
    #[arg(long, value_name = "string")]
    pub profile: Option<String>,
    /// Look in the sandbox on this machine instead of AWS
    #[arg(long)]
    pub sandbox: bool,
    /// Write the service's task definition to this file, as register-task-definition takes it
    #[arg(long, value_name = "string", value_hint = ValueHint::FilePath)]
    pub task_definition: Option<PathBuf>,
    /// Replace files that exist
    #[arg(long)]
    pub force: bool,
}

/// Watch a rollout that is going on
///
/// Finds what is going on in the services, whoever has started it and from which machine, and watches it to
/// its end with the exit code that "deploy" would have. It only looks: a rollout that fails is left to ECS and to
/// whoever has started it. When nothing is going on it says so and ends.
#[derive(Debug, Clone, Args)]
#[command(after_help = "  # Go on watching after Ctrl-C, or from another machine
  docker ecs-ship watch --environment production api")]
pub struct Watch {
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub display: Display,
}

/// Go back to what ran before
///
/// Rolls the services back to the revision that was really running before, as ECS remembers it, and watches
/// until the tasks of the newer one have drained. A rollout that is still going on is taken back by ECS
/// itself. What will change is shown first. Nothing is deregistered, so that the way forward stays open.
#[derive(Debug, Clone, Args)]
#[command(after_help = "  # Back to what ran before, after showing what that changes
  docker ecs-ship rollback --environment production api

  # To a revision that \"history\" shows, without asking
  docker ecs-ship rollback --yes --to 41 api")]
pub struct Rollback {
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub display: Display,
    /// Revision of the task definition to go back to (default: what ran before)
    #[arg(long, value_name = "string")]
    pub to: Option<String>,
    /// Act without asking
    #[arg(short, long)]
    pub yes: bool,
}

/// Ask ECS to take back a rollout that is going on
///
/// ECS stops starting tasks of the new revision, starts those of the one before again and drains the new ones.
/// The command returns when ECS has been asked; "watch" shows how it ends, and "rollback" does both.
#[derive(Debug, Clone, Args)]
pub struct StopDeployment {
    #[command(flatten)]
    pub selection: Selection,
    /// Act without asking
    #[arg(short, long)]
    pub yes: bool,
}

/// Show how services stand
///
/// What runs, since when, from which commit and by whom, whether its tasks and targets are healthy, what goes on and
/// how the last deployment ended, and whether it is still what was shipped. One service is shown from all sides,
/// several in a table with a word about those that want attention. What may not be read is said.
#[derive(Debug, Clone, Args)]
#[command(after_help = "  # All services of production
  docker ecs-ship status --environment production

  # Is it healthy, for a script
  docker ecs-ship status --format json api | jq -e .healthy")]
pub struct Status {
    #[command(flatten)]
    pub selection: Selection,
    /// Format of the output
    #[arg(long, value_enum, value_name = "string", default_value = "table")]
    pub format: StatusFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StatusFormat {
    /// For people
    Table,
    /// One JSON object a line
    Json,
    /// Where the services answer, one URL a line
    Url,
}

/// Rehearse a rollout on this machine, under load
///
/// Runs what is live, and then the new image, as a real rollout of real containers in a sandbox of its own,
/// while requests come in. Reports the requests that were lost and why, how the program starts and ends,
/// which settings are too tight or too loose, and how long the rollout would take in production. Ends with 0
/// only if no request was lost.
#[derive(Debug, Clone, Args)]
#[command(after_help = "  # The live image replaced by the one of this folder
  docker ecs-ship rehearse --environment production api

  # From revision 41, under 500 requests a second, some of them slow
  docker ecs-ship rehearse --from 41 --load 500 --slow-every 20 --slow-path /report api

  # With what may go wrong, for a program to read
  docker ecs-ship rehearse --scenario chaos.toml --format json api")]
pub struct Rehearse {
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub display: Display,
    /// Revision or image to start from (default: what is live)
    #[arg(long, value_name = "string")]
    pub from: Option<String>,
    /// Requests a second (default: 200)
    #[arg(long, value_name = "int", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub load: Option<u32>,
    /// Path to ask for (default: /)
    #[arg(long, value_name = "string", value_parser = path)]
    pub path: Option<String>,
    /// Send every so many requests to the slow path (default: none)
    #[arg(long, value_name = "int")]
    pub slow_every: Option<u32>,
    /// Path that takes its time (default: /)
    #[arg(long, value_name = "string", value_parser = path)]
    pub slow_path: Option<String>,
    /// File that says what is to go wrong
    #[arg(long, value_name = "string", value_hint = ValueHint::FilePath)]
    pub scenario: Option<PathBuf>,
    /// How many times faster than real ECS's own waits are
    #[arg(long, value_name = "float", value_parser = speed, default_value = "10")]
    pub speed: f64,
    /// Format of the report
    #[arg(long, value_enum, value_name = "string", default_value = "table")]
    pub format: TableFormat,
}

/// Check ship.toml, show what it means, and describe it to editors
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Without a verb the help is shown.
    #[command(subcommand)]
    pub verb: Option<ConfigVerb>,
}

#[derive(Debug, Clone, Subcommand)]
pub enum ConfigVerb {
    Validate(ConfigValidate),
    Show(ConfigShow),
    /// Print the JSON Schema of ship.toml
    ///
    /// Editors complete and check with it: put it beside the file and write "#:schema ship.schema.json" as its
    /// first line.
    Schema,
}

/// Check the whole file, without asking AWS or the engine
///
/// Judges every environment, or the one that is named, and draws each mistake in its place. A variable that is
/// not set on this machine is only warned about.
#[derive(Debug, Clone, Args)]
pub struct ConfigValidate {
    /// Environment of ship.toml to check (default: all of them)
    #[arg(id = complete::ENVIRONMENT, short, long = "environment", value_name = "string")]
    pub environment: Option<String>,
    /// File to read (default: the nearest ship.toml, from here upwards)
    #[arg(id = complete::FILE, short, long = "file", value_name = "string", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Format of the output
    #[arg(long, value_enum, value_name = "string", default_value = "table")]
    pub format: TableFormat,
}

/// Show what the file means for one environment, and where each value came from
#[derive(Debug, Clone, Args)]
pub struct ConfigShow {
    #[command(flatten)]
    pub selection: Selection,
    /// Format of the output
    #[arg(long, value_enum, value_name = "string", default_value = "toml")]
    pub format: ConfigFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConfigFormat {
    /// For people, with the origins as comments
    Toml,
    /// For programs
    Json,
}

/// Show what a service has been through
///
/// Its deployments of the last 90 days, newest first, by whomever: what each rolled out, how it ended and why.
#[derive(Debug, Clone, Args)]
#[command(after_help = "  # The last deployments of all services
  docker ecs-ship history --environment production

  # When did it last go wrong, for a script
  docker ecs-ship history --format json api | grep -v SUCCESSFUL")]
pub struct History {
    #[command(flatten)]
    pub selection: Selection,
    /// Show at most so many deployments of each service
    #[arg(short = 'n', long, value_name = "int", default_value = "10")]
    pub limit: usize,
    /// Format of the output
    #[arg(long, value_enum, value_name = "string", default_value = "table")]
    pub format: TableFormat,
}

/// List the tasks of a service
///
/// Those that run, and those that have stopped within the hour for which ECS remembers them, with the reason in
/// words.
#[derive(Debug, Clone, Args)]
pub struct Tasks {
    #[command(flatten)]
    pub selection: Selection,
    /// Format of the output
    #[arg(long, value_enum, value_name = "string", default_value = "table")]
    pub format: TableFormat,
}

/// How many lines of a container are shown when neither a number nor a time is given.
pub const LOG_LINES: u16 = 100;

/// Fetch the logs of a service
///
/// Reads what its tasks have written to CloudWatch Logs through the awslogs driver, merged by time, each line
/// with its task in front. The last 100 lines of each container are shown unless said otherwise.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "  # What the service writes now
  docker ecs-ship logs --follow api

  # Why the last task died
  docker ecs-ship logs --previous api")]
pub struct Logs {
    #[command(flatten)]
    pub selection: Selection,
    /// Follow log output, tasks that start meanwhile included
    #[arg(long, conflicts_with = "previous")]
    pub follow: bool,
    /// Show the logs of the last task that stopped
    #[arg(short, long, conflicts_with = "task")]
    pub previous: bool,
    /// Show the logs of one task only, by its id or the beginning of it
    #[arg(long, value_name = "string")]
    pub task: Option<String>,
    /// Show the logs of one container only
    #[arg(long, value_name = "string")]
    pub container: Option<String>,
    /// Show the logs of one revision only, its stopped tasks included
    #[arg(long, value_name = "int")]
    pub revision: Option<u64>,
    /// Show logs since so long ago (e.g. "90s", "10m", "1h30m")
    #[arg(long, value_name = "string")]
    pub since: Option<String>,
    /// Number of lines to show from the end of the logs of each container
    #[arg(short = 'n', long, value_name = "int", value_parser = clap::value_parser!(u16).range(1..=10000))]
    pub tail: Option<u16>,
}

/// Run a one-off task of a service
///
/// Starts one task of the revision that the service runs, in the same network and with the same capacity, with
/// COMMAND in place of the container's own, shows what it writes, and ends with 24 unless it ends with 0.
/// Ctrl-C stops the task: it gets its stop signal, and is killed when its stop timeout is over. A second one
/// leaves at once.
#[derive(Debug, Clone, Args)]
#[command(after_help = "  # A migration by hand
  docker ecs-ship run --environment production api -- rake db:migrate

  # Start it and look at it later
  docker ecs-ship run --detach api -- /app/reindex")]
pub struct Run {
    #[command(flatten)]
    pub selection: Selection,
    /// Revision of the task definition to run (default: the one that the service runs)
    #[arg(long, value_name = "int")]
    pub revision: Option<u64>,
    /// Container to run the command in (default: the one that gets the image)
    #[arg(long, value_name = "string")]
    pub container: Option<String>,
    /// Stop the task when it takes longer (e.g. "90s", "10m", "1h30m")
    #[arg(long, value_name = "string")]
    pub timeout: Option<String>,
    /// Start the task and print its id, without waiting for its end
    #[arg(short, long)]
    pub detach: bool,
    /// What to run: the program and its arguments
    #[arg(value_name = "COMMAND", last = true, required = true)]
    pub command: Vec<String>,
}

/// Execute a command in a running task
///
/// Opens a terminal in a container through ECS Exec, in the newest task unless one is named. It needs the
/// session-manager-plugin on this machine, and enableExecuteCommand on the service. A task of the sandbox is a
/// container of this machine's engine and needs neither.
#[derive(Debug, Clone, Args)]
#[command(after_help = "  # A shell in the newest task
  docker ecs-ship exec --environment production api -- sh")]
pub struct Exec {
    #[command(flatten)]
    pub selection: Selection,
    /// Task to go into, by its id or the beginning of it (default: the newest that runs)
    #[arg(long, value_name = "string")]
    pub task: Option<String>,
    /// Container to go into (default: the one that gets the image)
    #[arg(long, value_name = "string")]
    pub container: Option<String>,
    /// What to execute: the program and its arguments
    #[arg(value_name = "COMMAND", last = true, required = true)]
    pub command: Vec<String>,
}

/// Rehearse without an AWS account
///
/// The sandbox stands in for ECR, ECS, load balancing, logs and STS on this machine. Tasks are real
/// containers of the local engine behind a real load balancer.
#[derive(Debug, Clone, Args)]
pub struct Sandbox {
    /// Without a verb the help is shown.
    #[command(subcommand)]
    pub verb: Option<SandboxVerb>,
}

#[derive(Debug, Clone, Subcommand)]
pub enum SandboxVerb {
    Up(SandboxUp),
    /// Stop the sandbox and remove the containers it started
    Down,
    Status(SandboxStatus),
    #[command(hide = true)]
    Load(SandboxLoad),
}

/// Show whether the sandbox runs and how to point other tools at it
#[derive(Debug, Clone, Args)]
pub struct SandboxStatus {
    /// Format of the output
    #[arg(long, value_enum, value_name = "string", default_value = "table")]
    pub format: TableFormat,
    /// Show what differs from AWS on purpose, whether one runs or not
    #[arg(long)]
    pub differences: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// For people
    Table,
    /// For programs
    Json,
}

/// Put steady HTTP load on a balancer until Ctrl-C, and count what is lost
#[derive(Debug, Clone, Args)]
pub struct SandboxLoad {
    /// Address of the balancer, as "status --format url" shows it
    #[arg(value_name = "URL")]
    pub url: String,
    /// Path to ask for
    #[arg(long, value_name = "string", default_value = "/")]
    pub path: String,
    /// Requests a second
    #[arg(long, value_name = "int", default_value = "100")]
    pub rate: u32,
    /// Requests that may be out at one time
    #[arg(long, value_name = "int", default_value = "1000")]
    pub connections: u32,
    /// Send every so many requests to the slow path; 0 sends none there
    #[arg(long, value_name = "int", default_value = "0")]
    pub slow_every: u32,
    /// Path that takes its time
    #[arg(long, value_name = "string", default_value = "/")]
    pub slow_path: String,
    /// Count answers by the value of this header
    #[arg(long, value_name = "string")]
    pub count_by: Option<String>,
}

/// Start the sandbox
///
/// Starts it in the background and returns when it answers. It keeps its state over a restart.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub struct SandboxUp {
    /// Stay in the foreground until Ctrl-C
    #[arg(long)]
    pub foreground: bool,
    /// How many times faster than real its clocks run
    #[arg(long, value_name = "float", value_parser = speed, default_value = "1")]
    pub speed: f64,
    /// Port on 127.0.0.1 to listen on (default: 4517)
    #[arg(long, value_name = "int")]
    pub port: Option<u16>,
    /// Listen on this address of the machine too, not only on 127.0.0.1
    #[arg(long, value_name = "ip", default_value = "127.0.0.1")]
    pub bind: IpAddr,
    /// Run no containers: tasks exist on paper only
    #[arg(long)]
    pub paper: bool,
    /// Take any access key and any signature, so long as there is one
    #[arg(long)]
    pub any_signature: bool,
    /// File that says what is to go wrong
    #[arg(long, value_name = "string", value_hint = ValueHint::FilePath)]
    pub scenario: Option<PathBuf>,
    /// Drain the targets of a task that somebody stops before it is signalled
    #[arg(long)]
    pub drain_stopped_tasks: bool,
    /// What "up" runs in the background
    #[arg(long, hide = true, conflicts_with = "foreground")]
    pub detached: bool,
}

impl Default for SandboxUp {
    fn default() -> Self {
        Self {
            foreground: false,
            speed: 1.0,
            port: None,
            bind: Ipv4Addr::LOCALHOST.into(),
            paper: false,
            any_signature: false,
            scenario: None,
            drain_stopped_tasks: false,
            detached: false,
        }
    }
}

/// Show a recorded run again
///
/// Reads what "deploy --record" wrote and shows it through any type of progress output.
#[derive(Debug, Clone, Args)]
pub struct Replay {
    /// File that "deploy --record" wrote
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub recording: PathBuf,
    #[command(flatten)]
    pub display: Display,
    /// Show one table of steps, times and replaced tasks
    #[arg(long, conflicts_with = "progress")]
    pub summary: bool,
}

/// Log in to ECR
///
/// No verb needs it: whatever pushes or pulls fetches a token when none is kept. It shows whose token is
/// kept, where, and for how long, and fetches one where there is none. Without REGISTRY it is that of the
/// environment of ship.toml, or of the AWS account where there is no ship.toml.
#[derive(Debug, Clone, Args)]
#[command(after_help = "  # Who pushes to production, and until when
  docker ecs-ship login --environment production

  # A plain docker pull from ECR
  docker ecs-ship login --docker 111111111111.dkr.ecr.eu-west-1.amazonaws.com")]
pub struct Login {
    /// Host of the registry
    #[arg(value_name = "REGISTRY", conflicts_with_all = [complete::ENVIRONMENT, complete::FILE, "region"])]
    pub registry: Option<String>,
    #[command(flatten)]
    pub at: Where,
    /// Hand the login to docker's own credential store, too
    #[arg(long)]
    pub docker: bool,
    /// Fetch a new token even if the kept one is good
    #[arg(long, conflicts_with = "check")]
    pub refresh: bool,
    /// Say by the exit code alone whether a valid token is kept; fetch nothing
    #[arg(long, conflicts_with = "docker")]
    pub check: bool,
    /// Format of the output
    #[arg(long, value_enum, value_name = "string", default_value = "table")]
    pub format: TableFormat,
}

/// Forget the logins to ECR
///
/// Forgets the kept tokens of REGISTRY, or all of them and the key that encrypted them, and takes out of
/// docker's credential store what "login --docker" has put there.
#[derive(Debug, Clone, Args)]
pub struct Logout {
    /// Host of the registry
    #[arg(value_name = "REGISTRY")]
    pub registry: Option<String>,
}

/// Make "docker ecs-ship" work on this machine
///
/// Lays out the Docker plugin, the docker shim that answers "docker ecs-ship", the standalone command,
/// the credential helper and shell completions, and prints the line that puts them on PATH. Running it
/// again changes nothing; "uninstall" removes exactly what it made.
#[derive(Debug, Clone, Args)]
#[command(after_help = "  # Install for this user and use it in this shell at once
  eval \"$(docker-ecs-ship install)\"

  # Log docker in to ECR for good
  docker-ecs-ship install --credential-helper 111111111111.dkr.ecr.eu-west-1.amazonaws.com public.ecr.aws")]
pub struct Install {
    /// Install for all users of this machine
    #[arg(long)]
    pub system: bool,
    /// Folder for the commands (default: ~/.local/bin)
    #[arg(long, value_name = "string", value_hint = ValueHint::DirPath)]
    pub bin: Option<PathBuf>,
    /// Have docker ask the credential helper for these registries of ECR
    #[arg(long, value_name = "REGISTRY", num_args = 1.., conflicts_with = "system")]
    pub credential_helper: Vec<String>,
    /// Folder for the docker shim (default: ~/.local/share/docker-ecs-ship/shim)
    #[arg(long, value_name = "string", value_hint = ValueHint::DirPath)]
    pub shim: Option<PathBuf>,
    /// Replace files that something else has put there
    #[arg(long)]
    pub force: bool,
}

/// Remove what install has made
#[derive(Debug, Clone, Args)]
pub struct Uninstall {
    /// Remove what was installed for all users
    #[arg(long)]
    pub system: bool,
    /// Remove files even when they were changed since
    #[arg(long)]
    pub force: bool,
}

/// Show the version
#[derive(Debug, Clone, Args)]
pub struct Version {
    /// Format the output
    #[arg(short, long, value_enum, value_name = "string", default_value = "pretty")]
    pub format: VersionFormat,
    /// Show only the number
    #[arg(long)]
    pub short: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VersionFormat {
    Pretty,
    Json,
}

/// Print the completion script for a shell
///
/// The script completes the standalone docker-ecs-ship. As a Docker plugin nothing is needed: docker's
/// own completion asks us.
#[derive(Debug, Clone, Args)]
#[command(hide = true)]
pub struct Completion {
    /// Shell to complete in
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
    #[value(name = "powershell")]
    PowerShell,
}

fn path(text: &str) -> Result<String, String> {
    if text.starts_with('/') && !text.contains(char::is_whitespace) {
        Ok(text.to_owned())
    } else {
        Err("must begin with / and hold no space".to_owned())
    }
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        // Past a thousand a health check interval of 5 s is shorter than a request takes.
        Ok(speed) if (0.01..=1000.0).contains(&speed) => Ok(speed),
        Ok(_) | Err(_) => Err("must be a number from 0.01 to 1000".to_owned()),
    }
}

/// The command tree, complete with what clap adds, for the way the user spells us.
#[must_use]
pub fn command(name: &str) -> clap::Command {
    let mut command = sketch(name);
    command.build();
    command
}

/// The command tree before clap has gone through it, which costs more than all the rest of the answer to a
/// TAB: flags of the root that count everywhere are found in the root alone.
#[must_use]
pub fn sketch(name: &str) -> clap::Command {
    let help = clap::Arg::new("help").short('h').long("help").action(ArgAction::Help).help("Print usage").global(true);
    Line::command().name(name.to_owned()).bin_name(name).disable_help_flag(true).arg(help)
}

/// Reads the words after our name.
pub fn parse(command: clap::Command, words: &[OsString]) -> Result<Line, clap::Error> {
    // clap takes the first word for the program's own name.
    let matches = command.no_binary_name(true).try_get_matches_from(words)?;
    Line::from_arg_matches(&matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_tree_is_sound() {
        command("docker ecs-ship").debug_assert();
    }

    #[test]
    fn every_verb_and_flag_says_what_it_is_in_one_line_without_a_full_stop() {
        fn check(command: &clap::Command) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && !about.ends_with('.') && !about.contains('\n'), "{}", command.get_name());
            for arg in command.get_arguments() {
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(!help.is_empty() && !help.ends_with('.'), "{} {}", command.get_name(), arg.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        check(&command("docker ecs-ship"));
    }

    #[test]
    fn a_speed_is_a_sensible_number() {
        assert_eq!(speed("20"), Ok(20.0));
        for text in ["0", "-1", "fast", "NaN", "inf", "1e9"] {
            assert!(speed(text).is_err(), "{text}");
        }
    }
}
