//! The faces on runs that took place: `tests/recorded/runs`, recorded with `deploy --record` in the sandbox.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{self, Write},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

use indicatif::{InMemoryTerm, TermLike as _};

use super::{
    Report, Size,
    fold::{self, Fold},
    json::Json,
    plain::Plain,
    quiet::Quiet,
    style::{Colour, Letters, Style},
    summary::Summary,
    tty::{self, Tty},
    words,
};
use crate::{
    event::{Board, BoardTask, Event, Phase, Progress, Record, Side, StepKind, StepOutline, TaskState},
    id::{RunId, StepId},
};

const RUNS: [&str; 5] = ["first", "drained", "nothing-to-do", "rolled-back", "interrupted"];

fn text(run: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/recorded/runs/{run}.jsonl"));
    std::fs::read_to_string(path).unwrap()
}

fn records(run: &str) -> Vec<Record> {
    text(run).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a face wrote.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn show(records: &[Record], face: &mut dyn Report) {
    for record in records {
        face.hear(record).unwrap();
    }
    face.close().unwrap();
}

fn plain(records: &[Record], style: Style) -> String {
    let written = Written::default();
    show(records, &mut Plain::new(written.clone(), style));
    written.text()
}

fn snapshot(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => "../../tests/recorded/runs", prepend_module_to_snapshot => false, omit_expression => true,
    }, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn a_log_reads_well() {
    for run in RUNS {
        snapshot(&format!("{run}.plain"), &plain(&records(run), Style::BARE));
    }
}

#[test]
fn a_table_of_afterwards_reads_well() {
    let mut page = String::new();
    for run in RUNS {
        let written = Written::default();
        show(&records(run), &mut Summary::new(written.clone(), Style::BARE));
        writeln!(page, "== {run}\n{}", written.text()).unwrap();
    }
    snapshot("summary", &page);
}

#[test]
fn the_stream_is_printed_as_it_was_read() {
    for run in RUNS {
        let written = Written::default();
        show(&records(run), &mut Json::new(written.clone()));
        assert_eq!(written.text(), text(run), "{run}");
    }
}

#[test]
fn facts_are_numbered_without_a_gap_in_every_recording() {
    for run in RUNS {
        let numbers: BTreeSet<_> = records(run).iter().map(|record| record.sequence).collect();
        assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "{run}");
        assert!(matches!(records(run).last().map(|record| &record.event), Some(Event::Ended { .. })), "{run}");
    }
}

/// The picture whenever a rollout enters another phase, a task failed or ECS said something, in 80 by 24.
#[test]
fn the_board_reads_well() {
    for run in RUNS {
        let mut page = String::new();
        let mut fold = Fold::default();
        let records = records(run);
        for (index, record) in records.iter().enumerate() {
            fold.apply(record);
            let is_moment = match &record.event {
                Event::Told { progress, .. } => matches!(
                    progress,
                    Progress::Phase { .. } | Progress::TaskFailed { .. } | Progress::ServiceEvent { .. }
                ),
                Event::Begun { .. }
                | Event::Started { .. }
                | Event::Done { .. }
                | Event::Skipped { .. }
                | Event::Failed { .. }
                | Event::Warned { .. }
                | Event::Ended { .. }
                | Event::Unknown => false,
            };
            if !is_moment {
                continue;
            }
            // Between this record and the next, as a tick would see it.
            let until = records.get(index + 1).map_or(record.time_ms, |next| next.time_ms);
            let now_ms = u64::midpoint(record.time_ms, until);
            let rows = tty::frame(&fold, now_ms, Style::BARE, 80, 23);
            if rows.is_empty() {
                continue;
            }
            writeln!(page, "== {}", words::duration(now_ms - fold.begun_ms)).unwrap();
            for row in rows {
                assert_eq!(row.columns, words::columns(&row.text));
                writeln!(page, "{}", row.text.trim_end()).unwrap();
            }
        }
        snapshot(&format!("{run}.board"), &page);
    }
}

/// indicatif's terminal takes what a face writes.
struct Screen(InMemoryTerm);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_str(std::str::from_utf8(bytes).unwrap())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const fn usual_size() -> Size {
    Size { width: 80, height: 24 }
}

/// A whole run, ticks included. Nothing is left behind on the way, and the end is what a person keeps.
#[test]
fn a_run_leaves_nothing_behind_on_the_screen() {
    for run in RUNS {
        // Higher than the face thinks, so that nothing scrolls away from the test.
        let term = InMemoryTerm::new(60, 80);
        let mut face = Tty::new(Screen(term.clone()), Style::BARE, usual_size);
        let records = records(run);
        let mut now_ms = records[0].time_ms;
        for record in &records {
            while now_ms + 100 < record.time_ms {
                now_ms += 100;
                face.tick(now_ms).unwrap();
                let screen = term.contents();
                for title in ["build hello", "push hello", "register hello", "roll out hello"] {
                    let lines = screen.lines().filter(|line| line.contains(title)).count();
                    assert!(lines <= 1, "{run}: {title} is there {lines} times:\n{screen}");
                }
            }
            face.hear(record).unwrap();
        }
        face.close().unwrap();
        snapshot(&format!("{run}.screen"), &term.contents());
    }
}

/// Of the many tasks of a large service those that read the same share a line; the frame stays in its bounds
/// whatever the terminal, and nothing is wider than it.
#[test]
fn a_picture_stays_in_its_bounds() {
    let task = |number: u32, side, revision: &str, state, drain_left_ms| BoardTask {
        id: format!("{number:032x}"),
        side,
        revision: revision.to_owned(),
        state,
        detail: (state == TaskState::Unhealthy).then(|| "Target.Timeout: Request timed out".to_owned()),
        drain_left_ms,
    };
    let mut tasks: Vec<_> = (0..28).map(|number| task(number, Side::New, "web:42", TaskState::Healthy, None)).collect();
    tasks.extend((28..31).map(|number| task(number, Side::New, "web:42", TaskState::Unhealthy, None)));
    tasks.extend(
        (31..61).map(|number| task(number, Side::Old, "web:41", TaskState::Draining, Some(u64::from(number) * 1000))),
    );
    let mut records = records("drained");
    let last = records
        .iter()
        .rposition(|record| matches!(record.event, Event::Told { progress: Progress::Board(_), .. }))
        .unwrap();
    records.truncate(last + 1);
    if let Event::Told { progress: Progress::Board(board), .. } = &mut records[last].event {
        *board = Board { tasks, desired: 30, phase: Phase::Starting, ..board.clone() };
    }
    let mut fold = Fold::default();
    for record in &records {
        fold.apply(record);
    }
    let now_ms = records[last].time_ms;
    for letters in [Letters::Unicode, Letters::Ascii] {
        for width in [1, 5, 20, 40, 79, 80, 200] {
            for most in 0..26 {
                let style = Style { colour: Colour::On, letters };
                let rows = tty::frame(&fold, now_ms, style, width, most);
                assert!(rows.len() <= most);
                assert!(rows.iter().all(|row| row.columns < width), "{width} {most}");
                assert!(letters == Letters::Unicode || rows.iter().all(|row| row.text.is_ascii()));
            }
        }
    }
    let rows: Vec<_> = tty::frame(&fold, now_ms, Style::BARE, 80, 23).into_iter().map(|row| row.text).collect();
    let rows: Vec<_> = rows.iter().map(|row| row.trim_end()).collect();
    insta::assert_snapshot!(rows.join("\n"), @r"
    ⠏ roll out hello  12.5s  hello:2: 28 of 30 healthy, 3 unhealthy
        new     web:42  28 tasks  ● healthy
                        3 tasks   ● unhealthy   Target.Timeout: Request timed out
        old     web:41  30 tasks  ◐ draining    1m00s left
        ecs     has reached a steady state.
    ");
}

/// A hundred rollouts at once: trouble is on top, the rest is counted, and it stays in its bounds.
#[test]
fn a_hundred_services_are_one_picture() {
    let mut records = records("drained");
    let last = records
        .iter()
        .rposition(|record| matches!(record.event, Event::Told { progress: Progress::Board(_), .. }))
        .unwrap();
    let Record { event: Event::Told { progress: Progress::Board(board), .. }, time_ms, schema, sequence } =
        records.swap_remove(last)
    else {
        unreachable!("it was looked for")
    };
    let mut fold = Fold::default();
    let mut hear = |event| fold.apply(&Record { schema, sequence, time_ms, event });
    let step = |number: u32| StepOutline {
        id: StepId(number),
        kind: StepKind::Watch,
        title: format!("roll out s{number:03}"),
        cause: String::new(),
        needs: Vec::new(),
    };
    let steps = (0..120).map(step).collect();
    let run = RunId::new("run");
    hear(Event::Begun { run, verb: "deploy".to_owned(), environment: None, steps, prepared_ms: 0 });
    for number in 0..100 {
        hear(Event::Started { step: StepId(number) });
        let phase = match number {
            0..50 => Phase::Draining,
            50..98 => Phase::Starting,
            _ => Phase::RollingBack,
        };
        let board = Board { phase, tasks: Vec::new(), failed: 0, ..board.clone() };
        hear(Event::Told { step: StepId(number), progress: Progress::Board(board) });
    }
    for most in 0..=24 {
        let rows = tty::frame(&fold, time_ms + 1_000, Style::BARE, 80, most);
        assert!(rows.len() <= most && rows.iter().all(|row| row.columns < 80));
    }
    let rows = tty::frame(&fold, time_ms + 1_000, Style::BARE, 80, 6);
    let rows: Vec<_> = rows.iter().map(|row| row.text.trim_end()).collect();
    insta::assert_snapshot!(rows.join("\n"), @r"
    ⠏ roll out s098   1.0s  ECS takes hello:2 back
    ⠏ roll out s099   1.0s  ECS takes hello:2 back
    ⠏ roll out s050   1.0s  hello:2: no task yet
    ⠏ roll out s051   1.0s  hello:2: no task yet
      … 96 more: 46 starting, 50 draining
      … 20 steps to come
    ");
}

/// A window made narrower wraps what stands on it: as many rows more are taken back before the next picture.
#[test]
fn a_narrower_window_is_cleared_whole() {
    static WIDTH: AtomicU16 = AtomicU16::new(80);
    let size = || Size { width: WIDTH.load(Ordering::SeqCst), height: 24 };
    let written = Written::default();
    let mut face = Tty::new(written.clone(), Style::BARE, size);
    let records = records("drained");
    let draining = records
        .iter()
        .position(|record| {
            matches!(record.event, Event::Told { progress: Progress::Phase { to: Phase::Draining, .. }, .. })
        })
        .unwrap();
    for record in &records[..=draining + 1] {
        face.hear(record).unwrap();
    }
    let now_ms = records[draining + 1].time_ms;
    face.tick(now_ms).unwrap();
    let drawn = |from: usize| written.text()[from..].to_owned();
    let from = written.text().len();
    face.tick(now_ms + 100).unwrap();
    let before = drawn(from);
    let rows: Vec<_> = before.split("\u{1b}[J").nth(1).unwrap().split("\r\n").map(str::to_owned).collect();
    assert!(before.contains(&format!("\u{1b}[{}A", rows.len() - 1)), "{before:?}");

    WIDTH.store(40, Ordering::SeqCst);
    let from = written.text().len();
    face.tick(now_ms + 200).unwrap();
    let wrapped: usize =
        rows.iter().map(|row| words::columns(row.trim_end_matches("\u{1b}[?2026l")).div_ceil(40).max(1)).sum();
    assert!(wrapped > rows.len());
    assert!(drawn(from).contains(&format!("\u{1b}[{}A\u{1b}[J", wrapped - 1)), "{:?}", drawn(from));
}

/// A newer program may have written the stream.
#[test]
fn what_is_not_known_is_skipped_by_every_face() {
    let newer = [
        r#"{"kind":"paused","step":1,"why":{"because":["of","reasons"]}}"#,
        r#"{"kind":"done","step":99,"note":"a step never announced","colour":"blue"}"#,
        r#"{"kind":"told","step":1,"progress":{"what":"weather","degrees":12.5}}"#,
        r#"{"kind":"told","step":1,"progress":{"what":"vertex","id":"v","name":"n","state":"dreaming","duration_ms":null,"error":null}}"#,
        r#"{"kind":"failed","step":99,"note":"","how":"sideways"}"#,
    ];
    let known = records("drained");
    let mut records = known.clone();
    for (index, event) in newer.into_iter().enumerate() {
        let line =
            format!(r#"{{"schema":1,"sequence":9,"time_ms":{},"event":{event},"extra":true}}"#, known[9].time_ms);
        records.insert(9 + index, serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")));
    }
    assert_eq!(plain(&records, Style::BARE), plain(&known, Style::BARE));
    let written = Written::default();
    show(&records, &mut Tty::new(written.clone(), Style::BARE, usual_size));
    assert!(written.text().contains("deploy to sandbox: done in "));
    show(&records, &mut Summary::new(io::sink(), Style::BARE));
    show(&records, &mut Json::new(io::sink()));
    show(&records, &mut Quiet);
}

/// Streams of the first version have fewer fields.
#[test]
fn a_stream_without_the_newer_fields_is_read() {
    let lines = [
        r#"{"schema":1,"sequence":1,"time_ms":1000,"event":{"kind":"begun","run":"r","verb":"deploy","environment":null,"steps":[{"id":1,"kind":"build","title":"build web","cause":"tag v1","needs":[]}]}}"#,
        r#"{"schema":1,"sequence":2,"time_ms":1000,"event":{"kind":"started","step":1}}"#,
        r#"{"schema":1,"sequence":3,"time_ms":3000,"event":{"kind":"failed","step":1,"note":"no space left"}}"#,
        r#"{"schema":1,"sequence":4,"time_ms":3000,"event":{"kind":"ended","summary":"failed","exit":10,"live":[],"elapsed_ms":2500}}"#,
    ];
    let records: Vec<Record> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    insta::assert_snapshot!(plain(&records, Style::BARE), @r"
    deploy: 1 step
      0.0s  build web  begins (tag v1)
      2.0s  build web  failed after 2.0s: no space left
    deploy: failed after 2.5s
    ");
}

/// `LC_ALL=C`: our own signs have an ASCII spelling, everywhere.
#[test]
fn ascii_is_enough() {
    let style = Style { colour: Colour::Off, letters: Letters::Ascii };
    for run in RUNS {
        let written = Written::default();
        let mut face = Tty::new(written.clone(), style, usual_size);
        for record in records(run) {
            face.hear(&record).unwrap();
            face.tick(record.time_ms).unwrap();
        }
        assert!(written.text().is_ascii(), "{run}");
        assert!(plain(&records(run), style).is_ascii(), "{run}");
    }
}

/// Colours add nothing but colours, and every one that is opened is closed.
#[test]
fn colours_only_colour() {
    let style = Style { colour: Colour::On, ..Style::BARE };
    for run in RUNS {
        let coloured = plain(&records(run), style);
        assert!(coloured.contains("\u{1b}["));
        let lines: Vec<_> = coloured.lines().map(|line| words::clean(line).trim_end().to_owned()).collect();
        let bare = plain(&records(run), Style::BARE);
        assert_eq!(lines, bare.lines().map(str::trim_end).collect::<Vec<_>>(), "{run}");
        for line in coloured.lines() {
            assert_eq!(line.matches("\u{1b}[0m").count() * 2, line.matches("\u{1b}[").count(), "{line:?}");
        }
    }
}

/// While unhealthy tasks are replaced there are more than are wanted; the line must not say `4 of 2`.
#[test]
fn more_tasks_than_wanted_are_counted_plainly() {
    let mut found = None;
    for record in records("drained") {
        if let Event::Told { progress: Progress::Board(board), .. } = record.event
            && board.phase == Phase::Drained
        {
            found = Some(board);
        }
    }
    let mut board = found.unwrap();
    board.tasks.retain(|task| task.side == Side::New);
    assert_eq!(fold::side_line(&board, Side::New), "2 of 2 healthy");
    board.tasks.extend(board.tasks.clone());
    assert_eq!(fold::side_line(&board, Side::New), "4 healthy");
    assert_eq!(fold::side_line(&board, Side::Old), "gone");
}
