//! The vectors of moby's own `patternmatcher_test.go` and `ignorefile_test.go`.

use proptest::prelude::*;

use super::*;

fn excludes(patterns: &str, path: &str) -> bool {
    Ignore::parse(patterns).unwrap().verdict(path) == Verdict::Exclude
}

#[test]
fn mobys_single_patterns() {
    const WHEEL: &str = "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl";
    for (pattern, path, excluded) in [
        ("**", "file", true),
        ("**", "file/", true),
        ("**/", "file", true),
        ("**/", "file/", true),
        ("**", "/", true),
        ("**/", "/", true),
        ("**", "dir/file", true),
        ("**/", "dir/file", true),
        ("**", "dir/file/", true),
        ("**/", "dir/file/", true),
        ("**/**", "dir/file", true),
        ("**/**", "dir/file/", true),
        ("dir/**", "dir/file", true),
        ("dir/**", "dir/file/", true),
        ("dir/**", "dir/dir2/file", true),
        ("dir/**", "dir/dir2/file/", true),
        ("**/dir", "dir", true),
        ("**/dir", "dir/file", true),
        ("**/dir2/*", "dir/dir2/file", true),
        ("**/dir2/*", "dir/dir2/file/", true),
        ("**/dir2/**", "dir/dir2/dir3/file", true),
        ("**/dir2/**", "dir/dir2/dir3/file/", true),
        ("**file", "file", true),
        ("**file", "dir/file", true),
        ("**/file", "dir/file", true),
        ("**file", "dir/dir/file", true),
        ("**/file", "dir/dir/file", true),
        ("**/file*", "dir/dir/file", true),
        ("**/file*", "dir/dir/file.txt", true),
        ("**/file*txt", "dir/dir/file.txt", true),
        ("**/file*.txt", "dir/dir/file.txt", true),
        ("**/file*.txt*", "dir/dir/file.txt", true),
        ("**/**/*.txt", "dir/dir/file.txt", true),
        ("**/**/*.txt2", "dir/dir/file.txt", false),
        ("**/*.txt", "file.txt", true),
        ("**/**/*.txt", "file.txt", true),
        ("a**/*.txt", "a/file.txt", true),
        ("a**/*.txt", "a/dir/file.txt", true),
        ("a**/*.txt", "a/dir/dir/file.txt", true),
        ("a/*.txt", "a/dir/file.txt", false),
        ("a/*.txt", "a/file.txt", true),
        ("a/*.txt**", "a/file.txt", true),
        ("a[b-d]e", "ae", false),
        ("a[b-d]e", "ace", true),
        ("a[b-d]e", "aae", false),
        ("a[^b-d]e", "aze", true),
        (".*", ".foo", true),
        (".*", "foo", false),
        ("abc.def", "abcdef", false),
        ("abc.def", "abc.def", true),
        ("abc.def", "abcZdef", false),
        ("abc?def", "abcZdef", true),
        ("abc?def", "abcdef", false),
        ("a\\\\", "a\\", true),
        ("**/foo/bar", "foo/bar", true),
        ("**/foo/bar", "dir/foo/bar", true),
        ("**/foo/bar", "dir/dir2/foo/bar", true),
        ("abc/**", "abc", false),
        ("abc/**", "abc/def", true),
        ("abc/**", "abc/def/ghi", true),
        ("**/.foo", ".foo", true),
        ("**/.foo", "bar.foo", false),
        ("a(b)c/def", "a(b)c/def", true),
        ("a(b)c/def", "a(b)c/xyz", false),
        ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
        (WHEEL, WHEEL, true),
        ("dist/*.whl", WHEEL, true),
        // Go's `path/filepath` `TestMatch`, which moby's `TestMatch` repeats.
        ("*c", "abc", true),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
        ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
        ("a*b?c*x", "abxbbxdbxebxczzx", true),
        ("a*b?c*x", "abxbbxdbxebxczzy", false),
        ("ab[^c]", "abc", false),
        ("ab[^e-g]", "abc", true),
        ("a\\*b", "a*b", true),
        ("a\\*b", "ab", false),
        ("a?b", "a\u{263a}b", true),
        ("a[^a]b", "a\u{263a}b", true),
        ("a???b", "a\u{263a}b", false),
        ("[a-\u{3b6}]*", "\u{3b1}", true),
        ("a?b", "a/b", false),
        ("a*b", "a/b", false),
        ("[\\]a]", "]", true),
        ("[\\-]", "-", true),
        ("[x\\-]", "x", true),
        ("[x\\-]", "-", true),
        ("[x\\-]", "z", false),
        ("[\\-x]", "a", false),
        ("*x", "xxx", true),
    ] {
        assert_eq!(excludes(pattern, path), excluded, "{pattern} on {path}");
    }
}

#[test]
fn mobys_lists_of_patterns() {
    for (patterns, path, excluded) in [
        ("**\n!util/docker/web", "util/docker/web/foo", false),
        ("**\n!util/docker/web\nutil/docker/web/foo", "util/docker/web/foo", true),
        ("**\n!dist/*.whl", "dist/x.whl", false),
        ("!fileutils.go\n*.go", "fileutils.go", true),
        ("*.go\n!fileutils.go", "fileutils.go", false),
        ("*.go\n!*.go", "fileutils.go", false),
        ("docs\n!docs/README.md", "docs/README.md", false),
        ("docs/\n!docs/README.md", "docs/README.md", false),
        ("docs/*\n!docs/README.md", "docs/README.md", false),
        ("docs\n!docs/README.md", "docs/other.md", true),
        ("", "fileutils.go", false),
        ("*", "fileutils.go", true),
    ] {
        assert_eq!(excludes(patterns, path), excluded, "{patterns:?} on {path}");
    }
}

#[test]
fn bad_patterns_are_refused_with_their_line() {
    for pattern in ["[", "a[", "[^", "[^bc", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "\\", "a\\", "[z-a]"] {
        assert_eq!(
            Ignore::parse(&format!("ok\n{pattern}")).unwrap_err(),
            IgnoreError::Syntax { line: 2, pattern: pattern.to_owned() },
        );
    }
    assert_eq!(Ignore::parse("a\n\n! ").unwrap_err(), IgnoreError::Lone { line: 3 });
}

#[test]
fn mobys_file() {
    let text = "\u{feff}test1\r\n/test2\n/a/file/here\n\n  lastfile  \n# this is a comment\n #indented\n\
        ! /inverted/abs/path\n./x/../y/\n";
    let read: Vec<_> =
        Ignore::parse(text).unwrap().patterns.iter().map(|pattern| (pattern.effect, pattern.text.clone())).collect();
    let exclude = |text: &str| (Effect::Exclude, text.to_owned());
    assert_eq!(
        read,
        [
            exclude("test1"),
            exclude("test2"),
            exclude("a/file/here"),
            exclude("lastfile"),
            exclude("#indented"),
            (Effect::Include, "inverted/abs/path".to_owned()),
            exclude("y"),
        ]
    );
}

#[test]
fn a_folder_is_pruned_only_if_nothing_below_comes_back() {
    for (patterns, folder, below) in [
        ("node_modules", "node_modules", Below::Prune),
        ("docs\n!docs/README.md", "docs", Below::Walk),
        ("docs\n!docs/a/b/c", "docs/a", Below::Walk),
        ("docs\n!docs/a/b/c", "docs/z", Below::Prune),
        ("*\n!**/keep", "target/debug", Below::Walk),
        ("*\n!src/*.rs", "src", Below::Walk),
        ("*\n!src/*.rs", "target", Below::Prune),
        ("*\n!s*/x", "src", Below::Walk),
        // `!src` has been overruled for all of `src`, and has nothing to say about its inside.
        ("!src\nsrc", "src", Below::Prune),
    ] {
        assert_eq!(Ignore::parse(patterns).unwrap().below(folder), below, "{patterns:?} at {folder}");
    }
}

proptest! {
    /// Pruning must never lose a file: below a pruned folder nothing is kept.
    #[test]
    fn pruning_is_sound(
        patterns in proptest::collection::vec("!?[ab*]{1,2}(/[ab*]{1,2}){0,2}", 1..6),
        path in "[ab]{1,2}(/[ab]{1,2}){1,3}",
    ) {
        let Ok(ignore) = Ignore::parse(&patterns.join("\n")) else { return Ok(()) };
        for (end, _) in path.match_indices('/') {
            let folder = &path[..end];
            if ignore.verdict(folder) == Verdict::Exclude && ignore.below(folder) == Below::Prune {
                prop_assert_eq!(ignore.verdict(&path), Verdict::Exclude, "{} pruned", folder);
            }
        }
    }
}
