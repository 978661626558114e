//! What a folder of secrets serves, and what it does not, against real files.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at whatever it did not expect"
)]

mod common;

use std::os::unix::fs::symlink;
use std::path::Path;

use common::{config, get, kind_of, list, open, write, write_mode};
use strongroom_backend::{Backend, ErrorKind, SecretPath, Which};
use strongroom_backend_env::{FilesBackend, FilesConfig, MAX_ENTRIES, MAX_FILE};

#[tokio::test]
async fn files_are_served_byte_for_byte_and_anew() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("s/db/main"), b"pass\n\xff\0");
    write(&dir.path().join("s/empty"), b"");
    let store = open(dir.path(), &FilesConfig::folder("s"));
    assert_eq!(get(&store, "db/main").await.unwrap(), b"pass\n\xff\0");
    assert_eq!(get(&store, "empty").await.unwrap(), b"");
    write(&dir.path().join("s/db/main"), b"new");
    assert_eq!(get(&store, "db/main").await.unwrap(), b"new");
    std::fs::remove_file(dir.path().join("s/db/main")).unwrap();
    assert_eq!(kind_of(&store, "db/main").await, ErrorKind::NotFound);
    // The folder as a whole may be replaced too.
    std::fs::rename(dir.path().join("s"), dir.path().join("old")).unwrap();
    assert_eq!(kind_of(&store, "empty").await, ErrorKind::Unavailable);
    write(&dir.path().join("s/empty"), b"not any more");
    assert_eq!(get(&store, "empty").await.unwrap(), b"not any more");
}

#[tokio::test]
async fn folders_are_no_secrets_and_files_no_folders() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("s/a/b"), b"x");
    let store = open(dir.path(), &FilesConfig::folder("s"));
    for name in ["a", "a/b/c", "a/c", "b", "A/b", "a/B"] {
        assert_eq!(kind_of(&store, name).await, ErrorKind::NotFound, "{name}");
    }
    let described = store
        .describe(&SecretPath::parse("a/b").unwrap())
        .await
        .unwrap();
    assert!(described.created > 1_500_000_000_000, "{described:?}");
    assert_eq!(described.version, Some(0));
}

#[tokio::test]
async fn modes_that_let_others_in_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [0o600, 0o400, 0o640, 0o604, 0o620, 0o602] {
        write_mode(&dir.path().join(format!("s/m{mode:o}")), b"x", mode);
    }
    write(&dir.path().join("s/open/a"), b"x");
    common::chmod(&dir.path().join("s/open"), 0o777);
    let mut settings = FilesConfig::folder("s");
    let store = open(dir.path(), &settings);
    assert_eq!(get(&store, "m600").await.unwrap(), b"x");
    assert_eq!(get(&store, "m400").await.unwrap(), b"x");
    for name in ["m640", "m604", "m620", "m602", "open/a"] {
        assert_eq!(
            kind_of(&store, name).await,
            ErrorKind::PermissionDenied,
            "{name}"
        );
    }
    // A listing tells names alone, but it cannot vouch for a folder that others write.
    assert!(store.list("", None, 10).await.is_err());
    assert!(store.check().await.is_err());
    settings.readable_by_others = true;
    let store = open(dir.path(), &settings);
    assert_eq!(get(&store, "m640").await.unwrap(), b"x");
    assert_eq!(get(&store, "m604").await.unwrap(), b"x");
    for name in ["m620", "m602", "open/a"] {
        assert_eq!(
            kind_of(&store, name).await,
            ErrorKind::PermissionDenied,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_folder_that_others_can_replace_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("up/s/a"), b"x");
    let settings = FilesConfig::folder("up/s");
    for folder in ["up", "up/s"] {
        let folder = dir.path().join(folder);
        common::chmod(&folder, 0o777);
        let error = FilesBackend::open(&settings, dir.path()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        common::chmod(&folder, 0o755);
    }
    let store = open(dir.path(), &settings);
    assert_eq!(get(&store, "a").await.unwrap(), b"x");
    let missing = FilesBackend::open(&FilesConfig::folder("none"), dir.path())
        .err()
        .unwrap();
    assert_eq!(missing.kind(), ErrorKind::Config);
    let file = FilesBackend::open(&FilesConfig::folder("up/s/a"), dir.path())
        .err()
        .unwrap();
    assert_eq!(file.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn what_is_no_plain_file_is_never_opened() {
    let dir = tempfile::tempdir().unwrap();
    let s = dir.path().join("s");
    write(&s.join("a"), b"x");
    // Opening this for reading would wait for ever.
    let fifo = std::process::Command::new("mkfifo")
        .arg("-m600")
        .arg(s.join("fifo"))
        .status();
    assert!(fifo.unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(s.join("socket")).unwrap();
    let store = open(dir.path(), &config("s", true, true));
    for name in ["fifo", "socket"] {
        assert_eq!(
            kind_of(&store, name).await,
            ErrorKind::PermissionDenied,
            "{name}"
        );
    }
    assert_eq!(list(&store, "").await, ["a"]);
}

#[tokio::test]
async fn large_files_are_refused_unread() {
    let dir = tempfile::tempdir().unwrap();
    let limit = usize::try_from(MAX_FILE).unwrap();
    write(&dir.path().join("s/fits"), &vec![b'x'; limit]);
    write(&dir.path().join("s/over"), &vec![b'x'; limit + 1]);
    write(&dir.path().join("s/sparse"), b"");
    let sparse = std::fs::File::options()
        .write(true)
        .open(dir.path().join("s/sparse"))
        .unwrap();
    sparse.set_len(1 << 40).unwrap();
    let store = open(dir.path(), &FilesConfig::folder("s"));
    assert_eq!(get(&store, "fits").await.unwrap().len(), limit);
    for name in ["over", "sparse"] {
        assert_eq!(
            kind_of(&store, name).await,
            ErrorKind::TooLarge(MAX_FILE),
            "{name}"
        );
    }
}

#[tokio::test]
async fn listings_are_sorted_and_leave_out_what_no_path_names() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let s = dir.path().join("s");
    for name in [
        "b",
        "a/b",
        "a-b",
        "a.b",
        "a/b.d/c",
        "Z",
        ".hidden",
        ".git/x",
        "x y",
        "caf\u{e9}",
    ] {
        write(&s.join(name), b"x");
    }
    write(&s.join(std::ffi::OsStr::from_bytes(b"bad\xff")), b"x");
    write(&s.join("a\nb"), b"x");
    std::fs::create_dir_all(s.join("only/folders")).unwrap();
    symlink("b", s.join("link")).unwrap();
    let store = open(dir.path(), &FilesConfig::folder("s"));
    assert_eq!(
        list(&store, "").await,
        ["Z", "a-b", "a.b", "a/b", "a/b.d/c", "b"]
    );
    assert_eq!(list(&store, "a").await, ["a-b", "a.b", "a/b", "a/b.d/c"]);
    assert_eq!(list(&store, "a/b").await, ["a/b", "a/b.d/c"]);
    assert_eq!(list(&store, "a/b.").await, ["a/b.d/c"]);
    assert!(list(&store, "c").await.is_empty());
    let page = store.list("", Some("a.b"), 2).await.unwrap();
    assert_eq!(
        page.paths
            .iter()
            .map(SecretPath::as_str)
            .collect::<Vec<_>>(),
        ["a/b", "a/b.d/c"]
    );
    assert!(page.more);
}

#[tokio::test]
async fn listings_have_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let s = dir.path().join("s");
    let depths = |depth| vec!["d"; depth].join("/");
    write(&s.join(depths(16)).with_file_name("f"), b"x");
    write(&s.join(depths(15)).join("g/too-deep"), b"x");
    let store = open(dir.path(), &FilesConfig::folder("s"));
    assert_eq!(list(&store, "").await, [format!("{}/f", depths(15))]);
    let many = dir.path().join("s/many");
    std::fs::create_dir(&many).unwrap();
    for n in 0..=MAX_ENTRIES {
        std::fs::File::create(many.join(format!(".{n}"))).unwrap();
    }
    let error = store.list("", None, 1).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Failed);
    // A listing elsewhere does not look in there.
    assert_eq!(list(&store, "d/").await.len(), 1);
}

/// Names that file systems, shells and services know, and ways out of a folder.
#[tokio::test]
async fn hostile_names_reach_no_other_file() {
    let dir = tempfile::tempdir().unwrap();
    let canary = b"canary-0f1e-outside";
    for name in [
        "out",
        "s.bak/a",
        "other/a",
        "S/a",
        ".hidden/a",
        "s/.hidden",
        "s/..data/a",
    ] {
        write(&dir.path().join(name), canary);
    }
    for name in [
        "s/a b", "s/a%2fb", "s/a:b", "s/sub/.a", "s/~", "s/a\\b", "s/a\nb", "s/*",
    ] {
        write(&dir.path().join(name), canary);
    }
    write(&dir.path().join("s/a"), b"own");
    write(&dir.path().join("s/sub/b"), b"own");
    let outside = dir.path().join("out");
    symlink(&outside, dir.path().join("s/absolute")).unwrap();
    symlink("../out", dir.path().join("s/up")).unwrap();
    symlink("sub/../../out", dir.path().join("s/around")).unwrap();
    symlink("../other", dir.path().join("s/folder")).unwrap();
    symlink("/proc/self/root", dir.path().join("s/magic")).unwrap();
    symlink(".hidden", dir.path().join("s/inside")).unwrap();
    let mut names: Vec<String> = Vec::new();
    let roots = [
        "", "a", "sub", "sub/b", "absolute", "up", "around", "folder", "magic", "inside",
    ];
    let tails = [
        "",
        "/",
        "/..",
        "/../out",
        "/../../out",
        "/a",
        "/.a",
        "/.hidden",
        ".",
        "..",
        "/.",
        "//a",
        "\0",
        "%00",
        "%2e%2e",
        "/%2e%2e/out",
        "\\..\\out",
        ":$DATA",
        "::a",
        "~",
        " ",
        "/out",
        "\n",
        "/self/environ",
        ".bak/a",
        "-",
        "_",
        "\u{2024}\u{2024}",
    ];
    for root in roots {
        names.extend(tails.iter().map(|tail| format!("{root}{tail}")));
    }
    assert!(names.len() >= 200);
    for settings in [config("s", false, true), config("s", true, true)] {
        let store = open(dir.path(), &settings);
        let mut parsed = 0;
        for name in &names {
            let Ok(path) = SecretPath::parse(name) else {
                continue;
            };
            parsed += 1;
            match store.get(&path, Which::Current).await {
                Ok(secret) if matches!(&**name, "a" | "sub/b") => {
                    assert_eq!(secret.value.expose(), b"own");
                }
                // A link within the folder is the operator's own word.
                Ok(_) => assert!(name == "inside" && settings.allow_links, "{name}"),
                Err(error) => assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::NotFound | ErrorKind::PermissionDenied
                    ),
                    "{name}: {error}"
                ),
            }
        }
        assert!(parsed > 60, "{parsed}");
        let listed = list(&store, "").await;
        let own: &[&str] = match settings.allow_links {
            true => &["a", "inside", "sub/b"],
            false => &["a", "sub/b"],
        };
        assert_eq!(listed, own);
    }
}

#[tokio::test]
async fn hard_links_are_refused_unless_links_are_allowed() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("elsewhere"), b"x");
    std::fs::create_dir(dir.path().join("s")).unwrap();
    std::fs::hard_link(dir.path().join("elsewhere"), dir.path().join("s/a")).unwrap();
    let store = open(dir.path(), &FilesConfig::folder("s"));
    assert_eq!(kind_of(&store, "a").await, ErrorKind::PermissionDenied);
    let store = open(dir.path(), &config("s", true, false));
    assert_eq!(get(&store, "a").await.unwrap(), b"x");
}

#[tokio::test]
async fn it_is_only_read() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("s/a"), b"x");
    let before = std::fs::metadata(dir.path().join("s"))
        .unwrap()
        .modified()
        .unwrap();
    let store = open(dir.path(), &FilesConfig::folder("s"));
    let path = SecretPath::parse("a").unwrap();
    let value = strongroom_backend::SecretValue::copy_of(b"y");
    let put = store
        .put(&path, &value, &strongroom_backend::PutOptions::default())
        .await;
    assert_eq!(put.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(
        store.delete(&path, None).await.unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    assert_eq!(get(&store, "a").await.unwrap(), b"x");
    let after = std::fs::metadata(dir.path().join("s"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(before, after);
    assert_eq!(
        std::fs::read_dir(Path::new(&dir.path().join("s")))
            .unwrap()
            .count(),
        1
    );
}
