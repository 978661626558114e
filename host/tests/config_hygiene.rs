//! The file as such: who may write it, where it is found, and whether it is trusted.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use strongroom::config::trust::{TrustList, Untrusted};
use strongroom::config::{Backends, Config, Found, Places, locate, restart_only_changes};
use tempfile::TempDir;

const ELSEWHERE: &str = "[vault.a]\nbackend = 'memory'\nendpoint = 'http://127.0.0.1:1'\n";

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn load(path: &Path) -> Result<Config, String> {
    Config::load(path, &Backends::new(["memory"])).map_err(|error| error.to_string())
}

#[test]
fn a_file_that_others_may_write_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("strongroom.toml");
    for (mode, good) in [
        (0o600, true),
        (0o644, true),
        (0o400, true),
        (0o620, false),
        (0o602, false),
        (0o666, false),
    ] {
        write(&path, "", mode);
        let loaded = load(&path);
        assert_eq!(loaded.is_ok(), good, "{mode:o} {loaded:?}");
        if let Err(error) = loaded {
            assert!(error.contains("chmod go-w"), "{error}");
        }
        fs::remove_file(&path).unwrap();
    }
}

/// Whoever may write the folder can put an older file back, with grants that were taken away since.
#[test]
fn a_folder_that_others_may_write_is_refused() {
    let dir = TempDir::new().unwrap();
    let chmod = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("strongroom.toml");
    write(&path, "", 0o600);
    for (mode, good) in [
        (0o700, true),
        (0o755, true),
        (0o770, false),
        (0o757, false),
        (0o777, false),
        (0o1777, true),
    ] {
        chmod(&folder, mode);
        let loaded = load(&path);
        assert_eq!(loaded.is_ok(), good, "{mode:o} {loaded:?}");
        if let Err(error) = loaded {
            let advice = format!("chmod go-w {}", folder.display());
            assert!(error.contains(&advice), "{error}");
        }
    }
    // A link: its own folder, and that of what it points to.
    let link = dir.path().join("strongroom.toml");
    symlink(&path, &link).unwrap();
    assert!(load(&link).is_ok());
    chmod(&folder, 0o777);
    assert!(load(&link).unwrap_err().contains("chmod go-w"));
    chmod(&folder, 0o700);
    chmod(dir.path(), 0o777);
    assert!(load(&link).unwrap_err().contains("chmod go-w"));
    assert!(load(&path).is_ok());
}

#[test]
fn a_link_is_judged_by_what_it_points_to() {
    let dir = TempDir::new().unwrap();
    let (link, target) = (dir.path().join("strongroom.toml"), dir.path().join("other"));
    symlink(&target, &link).unwrap();
    assert!(load(&link).unwrap_err().contains("cannot be read"));
    write(&target, "", 0o600);
    let config = load(&link).unwrap();
    assert_eq!(
        config.dir(),
        dir.path(),
        "paths are relative to the link, which is what was named"
    );
    write(&target, "", 0o666);
    assert!(load(&link).unwrap_err().contains("group or others"));
}

#[test]
fn what_is_no_file_is_refused_without_waiting() {
    let dir = TempDir::new().unwrap();
    assert!(load(dir.path()).is_err());
    let pipe = dir.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert!(load(&pipe).unwrap_err().ends_with("is not a regular file"));
    assert!(load(Path::new("/dev/zero")).is_err());
    let large = dir.path().join("large");
    write(&large, &"#".repeat((1 << 20) + 1), 0o600);
    assert!(load(&large).unwrap_err().contains("larger than 1 MiB"));
}

#[test]
fn two_stores_on_one_file_are_found_through_links() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("strongroom.toml");
    write(
        &path,
        "[vault.a]\nbackend = 'memory'\npath = 'a'\n[vault.b]\nbackend = 'memory'\npath = 'b'\n",
        0o600,
    );
    fs::write(dir.path().join("a"), "").unwrap();
    assert!(load(&path).is_ok());
    symlink("a", dir.path().join("b")).unwrap();
    assert!(
        load(&path)
            .unwrap_err()
            .contains("same file under two names")
    );
    fs::remove_file(dir.path().join("b")).unwrap();
    fs::hard_link(dir.path().join("a"), dir.path().join("b")).unwrap();
    assert!(
        load(&path)
            .unwrap_err()
            .contains("same file under two names")
    );
}

#[test]
fn the_named_file_comes_first_then_the_folder_then_the_user() {
    let (here, user) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let places = |explicit: Option<&str>, env: Option<&str>| Places {
        explicit: explicit.map(PathBuf::from),
        env: env.map(Into::into),
        current_folder: here.path().to_owned(),
        user_config_dir: Some(user.path().to_owned()),
    };
    let found = |places: &Places| locate(places).map(|found| (found.path, found.in_current_folder));
    let error = locate(&places(None, None)).unwrap_err().to_string();
    assert!(error.contains("strongroom init"), "{error}");
    let of_user = user.path().join("strongroom.toml");
    write(&of_user, "", 0o600);
    assert_eq!(found(&places(None, Some(""))), Ok((of_user, false)));
    // A link to nowhere is there: passing it over would put another file in force.
    let of_folder = here.path().join("strongroom.toml");
    symlink("nowhere", &of_folder).unwrap();
    assert_eq!(found(&places(None, None)), Ok((of_folder, true)));
    assert_eq!(
        found(&places(None, Some("/e.toml"))),
        Ok(("/e.toml".into(), false))
    );
    assert_eq!(
        found(&places(Some("/x.toml"), Some("/e.toml"))),
        Ok(("/x.toml".into(), false))
    );
}

#[test]
fn a_found_file_that_reaches_out_needs_trust_for_each_text() {
    let dir = TempDir::new().unwrap();
    let state = dir.path().join("state/strongroom");
    let list = TrustList::at(state.clone());
    let path = dir.path().join("strongroom.toml");
    let found = |in_current_folder| Found {
        path: path.clone(),
        in_current_folder,
    };
    write(&path, ELSEWHERE, 0o600);
    let config = load(&path).unwrap();
    let refused = list.require(&found(true), &config).unwrap_err();
    assert!(matches!(refused, Untrusted::NotAccepted { .. }));
    assert!(
        refused
            .to_string()
            .contains("vault.a.endpoint in line 3 sends secrets"),
        "{refused}"
    );
    assert!(
        list.require(&found(false), &config).is_ok(),
        "a file that was named"
    );

    list.add(&config).unwrap();
    assert!(list.require(&found(true), &config).is_ok());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&state), mode(&state.join("trusted"))), (0o700, 0o600));

    // One more byte is another file; the same text elsewhere is another one too.
    write(&path, &format!("{ELSEWHERE}\n"), 0o600);
    let changed = load(&path).unwrap();
    assert!(list.require(&found(true), &changed).is_err());
    let copy = dir.path().join("copy.toml");
    write(&copy, ELSEWHERE, 0o600);
    assert!(!list.holds(&load(&copy).unwrap()).unwrap());
    list.add(&changed).unwrap();
    assert!(list.holds(&changed).unwrap());
    assert!(
        !list.holds(&config).unwrap(),
        "the older text is trusted no more"
    );

    write(&copy, "", 0o600);
    assert!(
        list.require(&found(true), &load(&copy).unwrap()).is_ok(),
        "it reaches nothing"
    );
}

/// The text of a repository may stay while its kubeconfig sends everything elsewhere.
#[test]
fn trust_ends_with_a_file_that_the_configuration_names() {
    let dir = TempDir::new().unwrap();
    let own = dir.path().join("own");
    fs::create_dir_all(own.join("keys")).unwrap();
    fs::write(dir.path().join("users"), "a").unwrap();
    let list = TrustList::at(dir.path().join("state"));
    let path = own.join("strongroom.toml");
    let found = Found {
        path: path.clone(),
        in_current_folder: true,
    };
    for (setting, file) in [
        ("auth = { kubeconfig = 'k8s' }", "k8s"),
        ("auth = { credentials-file = 'gcp.json' }", "gcp.json"),
        ("auth = { token-file = './keys/../token' }", "token"),
        ("ca-file = 'keys/ca'", "keys/ca"),
        ("auth = { role = { 'SECRET_ID_FILE' = 'id' } }", "id"),
    ] {
        for table in ["vault", "workspace.w.vault"] {
            let base = format!("{ELSEWHERE}[{table}.b]\nbackend = 'memory'\n");
            write(&path, &format!("{base}{setting}\n"), 0o600);
            let file = own.join(file);
            let _ = fs::remove_file(&file);
            let config = load(&path).unwrap();
            let trusted = || list.require(&found, &config).is_ok();
            list.add(&config).unwrap();
            assert!(trusted(), "{setting}");
            fs::write(&file, "a").unwrap();
            assert!(!trusted(), "{setting}: it is there now");
            list.add(&config).unwrap();
            assert!(trusted());
            fs::write(&file, "b").unwrap();
            let refused = list.require(&found, &config).unwrap_err().to_string();
            assert!(refused.contains("names in its folder ("), "{refused}");
            fs::write(&file, "a").unwrap();
            assert!(trusted(), "{setting}: as it was accepted");
            fs::remove_file(&file).unwrap();
            symlink(dir.path().join("users"), &file).unwrap();
            assert!(!trusted(), "{setting}: the same bytes, of another place");
            fs::remove_file(&file).unwrap();
            fs::create_dir(&file).unwrap();
            let refused = list.require(&found, &config).unwrap_err();
            assert!(matches!(refused, Untrusted::Unreadable { .. }), "{refused}");
            assert!(list.add(&config).is_err());
            fs::remove_dir(&file).unwrap();
        }
    }
}

/// Whoever wrote a file that nobody trusts yet may want the look at it to take for ever.
#[test]
fn what_a_found_file_names_is_looked_at_once_and_not_without_end() {
    let dir = TempDir::new().unwrap();
    let list = TrustList::at(dir.path().join("state"));
    let path = dir.path().join("strongroom.toml");
    let found = Found {
        path: path.clone(),
        in_current_folder: true,
    };
    let naming = |names: &[String]| {
        write(&path, &format!("{ELSEWHERE}x-file = {names:?}\n"), 0o600);
        load(&path).unwrap()
    };
    let unreadable = |config: &Config, why: &str| {
        let refused = list.require(&found, config).unwrap_err();
        assert!(matches!(refused, Untrusted::Unreadable { .. }), "{refused}");
        assert!(refused.to_string().contains(why), "{refused}");
        assert!(list.add(config).is_err());
    };
    // A file as large as all may be, under 100 names: each of them counted, it would be too much.
    let large = fs::File::create(dir.path().join("large")).unwrap();
    large.set_len(64 << 20).unwrap();
    let spellings = |file: &str| {
        let names = (0..100).map(|times| format!("{}{file}", "./".repeat(times)));
        names.collect::<Vec<_>>()
    };
    let config = naming(&spellings("large"));
    list.add(&config).unwrap();
    assert!(list.require(&found, &config).is_ok());
    large.set_len((64 << 20) + 1).unwrap();
    unreadable(&config, "64 MiB");
    large.set_len(64 << 20).unwrap();
    fs::write(dir.path().join("small"), "a").unwrap();
    unreadable(&naming(&["large".to_owned(), "small".to_owned()]), "64 MiB");
    // Files that are there, and files that are not yet.
    let many = |count: usize| (0..count).map(|at| format!("f{at}")).collect::<Vec<_>>();
    list.add(&naming(&many(64))).unwrap();
    unreadable(&naming(&many(65)), "more than 64 files");
    unreadable(&naming(&many(5000)), "more than 4096 names");
}

/// What is not the configuration's to choose changes all the time.
#[test]
fn trust_stays_when_stores_and_files_of_the_user_change() {
    let dir = TempDir::new().unwrap();
    let own = dir.path().join("own");
    fs::create_dir_all(own.join("keys")).unwrap();
    let list = TrustList::at(dir.path().join("state"));
    let path = own.join("strongroom.toml");
    let user = dir.path().join("user");
    for (settings, changes) in [
        ("path = 'store'\nkey = { file = 'keys/k' }", "own/store"),
        ("path = 'store'\nkey = { file = 'keys/k' }", "own/keys/k"),
        ("key = { passphrase-file = 'keys/p' }", "own/keys/p"),
        ("json = 'all.json'", "own/all.json"),
        ("auth = { token-file = '../user' }", "user"),
        (
            &format!("auth = {{ token-file = '{}' }}", user.display()),
            "user",
        ),
        (
            "[audit]\npath = 'l'\nkey = { file = 'keys/a' }",
            "own/keys/a",
        ),
    ] {
        write(&path, &format!("{ELSEWHERE}{settings}\n"), 0o600);
        let config = load(&path).unwrap();
        list.add(&config).unwrap();
        fs::write(dir.path().join(changes), "a").unwrap();
        assert!(list.holds(&config).unwrap(), "{settings}");
        // The line is the one of the text alone, as lists have it that were written before.
        let lines = fs::read_to_string(dir.path().join("state/trusted")).unwrap();
        assert!(lines.contains(&config.digest().to_string()), "{settings}");
    }
}

/// Whoever changes the folder could point its links at another store of the user's.
#[test]
fn trust_ends_where_a_link_of_the_folder_leads_elsewhere() {
    let dir = TempDir::new().unwrap();
    let own = dir.path().join("own");
    fs::create_dir(&own).unwrap();
    for file in ["one", "two"] {
        fs::write(dir.path().join(file), "a").unwrap();
    }
    let list = TrustList::at(dir.path().join("state"));
    let path = own.join("strongroom.toml");
    let link = own.join("link");
    for text in [
        "[vault.a]\nbackend = 'memory'\npath = 'link'\n",
        "[vault.a]\nbackend = 'memory'\nauth = { kubeconfig = '../own/link' }\n",
        "[audit]\npath = 'link'\nkey = { file = 'k' }\n",
    ] {
        let _ = fs::remove_file(&link);
        symlink("../one", &link).unwrap();
        write(&path, text, 0o600);
        let config = load(&path).unwrap();
        list.add(&config).unwrap();
        fs::write(dir.path().join("one"), "b").unwrap();
        assert!(list.holds(&config).unwrap(), "{text}");
        fs::remove_file(&link).unwrap();
        symlink("../two", &link).unwrap();
        assert!(!list.holds(&config).unwrap(), "{text}");
    }
}

/// A stranger's grants must not act on the user's own store.
#[test]
fn stores_keys_and_logs_outside_of_the_folder_are_found() {
    let dir = TempDir::new().unwrap();
    let own = dir.path().join("own");
    let user = dir.path().join("user");
    fs::create_dir(&own).unwrap();
    fs::create_dir_all(user.join("keys")).unwrap();
    fs::create_dir(own.join("keys")).unwrap();
    for file in ["user/store", "user/keys/k", "own/store", "own/keys/k"] {
        fs::write(dir.path().join(file), "").unwrap();
    }
    symlink("../user/store", own.join("link")).unwrap();
    symlink("../user", own.join("linked")).unwrap();
    symlink("../user/none-yet", own.join("dangling")).unwrap();
    symlink("round", own.join("round")).unwrap();
    symlink("keys/k", own.join("inner")).unwrap();
    // The folder may itself be reached through a link.
    let way = dir.path().join("way");
    symlink(&own, &way).unwrap();
    let path = way.join("strongroom.toml");
    let reaches = |text: &str| {
        write(&path, text, 0o600);
        let config = load(&path).unwrap();
        let found = config.reaches_out().iter();
        found
            .map(|it| format!("{}:{} {}", it.line, it.what, it.why))
            .collect::<Vec<_>>()
    };
    let vault = |settings: &str| reaches(&format!("[vault.a]\nbackend = 'memory'\n{settings}"));
    let absolute = |file: &Path| format!("path = '{}'", file.display());
    for inside in [
        "path = 'store'".to_owned(),
        "path = 'keys/../store'".into(),
        "path = 'new/store'".into(),
        "key = { file = 'keys/k', allow-links = true }".into(),
        "key = { file = 'inner', allow-links = true }".into(),
        "key = { passphrase-file = 'keys/pass' }".into(),
        "path = '../own/store'".into(),
        "path = '.'".into(),
        absolute(&own.join("store")),
    ] {
        assert_eq!(vault(&inside), [""; 0], "{inside}");
    }
    for outside in [
        "path = '../user/store'".to_owned(),
        "path = '../user/none'".into(),
        "path = 'none/../../user/store'".into(),
        "path = '..'".into(),
        "path = '../own-too/store'".into(),
        "path = 'link'".into(),
        "path = 'linked/store'".into(),
        "path = 'linked/none'".into(),
        "path = 'dangling'".into(),
        "path = 'round'".into(),
        absolute(&user.join("store")),
    ] {
        assert_eq!(
            vault(&outside),
            ["3:vault.a.path is outside of its folder"],
            "{outside}"
        );
    }
    for (key, what) in [
        ("key = { file = '../user/keys/k' }", "key.file"),
        (
            "key = { passphrase-file = 'linked/p' }",
            "key.passphrase-file",
        ),
        ("json = '/run/all.json'", "json"),
        ("token_file = '/run/token'", "token_file"),
    ] {
        let found = vault(key);
        assert_eq!(
            found,
            [format!("3:vault.a.{what} is outside of its folder")]
        );
    }
    assert_eq!(
        vault("key = { env = 'K' }"),
        ["3:vault.a.key.env uses your variables"]
    );
    assert_eq!(
        reaches("[audit]\npath = '../user/l'\nkey = { file = 'linked/keys/k' }\n"),
        [
            "2:audit.path is outside of its folder",
            "3:audit.key.file is outside of its folder"
        ]
    );
    assert_eq!(
        reaches(
            "[audit]\npath = 'l'\nkey = { file = 'keys/l' }\n[component.c]\nwasm = '/c.wasm'\n"
        ),
        [""; 0],
        "a component may lie anywhere"
    );
    let other = Backends::new(["env", "far"]);
    for (backend, why) in [("env", "variables"), ("far", "account")] {
        write(&path, &format!("[vault.a]\nbackend = '{backend}'\n"), 0o600);
        let config = Config::load(&path, &other).unwrap();
        assert!(config.reaches_out()[0].why.to_string().contains(why));
    }
}

#[test]
fn a_list_that_others_may_write_is_not_believed() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("strongroom.toml");
    write(&path, ELSEWHERE, 0o600);
    let config = load(&path).unwrap();
    let list = TrustList::at(dir.path().to_owned());
    list.add(&config).unwrap();
    fs::set_permissions(
        dir.path().join("trusted"),
        fs::Permissions::from_mode(0o666),
    )
    .unwrap();
    assert!(list.holds(&config).is_err());
    let found = Found {
        path,
        in_current_folder: true,
    };
    assert!(matches!(
        list.require(&found, &config),
        Err(Untrusted::List(_))
    ));
}

#[test]
fn paths_keys_and_the_log_change_by_restart() {
    const OLD: &str = "[vault.a]\nbackend = 'memory'\npath = 'a'\n[vault.b]\nbackend = 'memory'\n\
                       [audit]\npath = 'l'\nkey = { file = 'k' }\n";
    let parse = |text: &str| {
        let backends = Backends::new(["memory", "local"]);
        Config::parse(text.as_bytes(), Path::new("/etc/s.toml"), &backends).unwrap()
    };
    let changes = |from: &str, to: &str| {
        let changes = restart_only_changes(&parse(OLD), &parse(&OLD.replace(from, to)));
        changes.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(changes("", ""), [""; 0]);
    assert_eq!(
        changes("[audit]", "[component.c]\n[role.r]\n\n[audit]"),
        [""; 0],
        "lines may move"
    );
    assert_eq!(
        changes("'l'", "'l2'"),
        ["line 6: [audit] changed, which takes a restart"]
    );
    assert_eq!(
        changes("'k'", "'k2'"),
        ["line 6: [audit] changed, which takes a restart"]
    );
    assert_eq!(
        changes("'a'", "'a2'"),
        ["line 1: [vault.a] has other settings, which takes a restart"]
    );
    let both = changes("vault.b", "vault.c");
    assert_eq!(
        both,
        [
            "line 4: [vault.c] is new, which takes a restart",
            "[vault.b] is gone, which takes a restart"
        ]
    );
    let backend = changes(
        "[vault.a]\nbackend = 'memory'",
        "[vault.a]\nbackend = 'local'",
    );
    assert_eq!(
        backend,
        ["line 1: [vault.a] has another backend, which takes a restart"]
    );
}
