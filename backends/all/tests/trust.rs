//! What trust in a configuration covers of the files that its files name in turn.
#![cfg(all(unix, feature = "gcp-secret-manager", feature = "kubernetes"))]
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use strongroom::config::Config;
use strongroom::config::trust::{self, TrustList};
use tempfile::TempDir;

const KUBERNETES: &str = "[vault.a]\nbackend = 'kubernetes'\nnamespace = 'app'\n\
                          allow-exec = true\nauth = { kubeconfig = 'k8s/config' }\n";
const GCP: &str = "[vault.a]\nbackend = 'gcp-secret-manager'\nproject = 'p'\n\
                   auth = { credentials-file = 'gcp.json' }\n";

/// A folder `own` with a configuration, within one that is not the configuration's.
struct Project {
    dir: TempDir,
    list: TrustList,
    config: Config,
}

impl Project {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("own/k8s")).unwrap();
        let file = dir.path().join("own/strongroom.toml");
        fs::write(&file, text).unwrap();
        let backends = strongroom_backends::registry().names();
        let config = Config::parse(text.as_bytes(), &file, &backends).unwrap();
        assert!(!config.reaches_out().is_empty());
        let list = TrustList::at(dir.path().join("state"));
        Self { dir, list, config }
    }

    fn kubernetes(cluster: &str, user: &str) -> Self {
        let project = Self::new(KUBERNETES);
        fs::write(project.own("k8s/config"), kubeconfig(cluster, user)).unwrap();
        project
    }

    fn own(&self, name: &str) -> PathBuf {
        self.dir
            .path()
            .canonicalize()
            .unwrap()
            .join("own")
            .join(name)
    }

    fn accept(&self) {
        self.list.add(&self.config).unwrap();
    }

    fn trusted(&self) -> bool {
        self.list.holds(&self.config).unwrap()
    }

    /// Trust must end when this file of the folder comes, and when it changes.
    #[track_caller]
    fn hangs_on(&self, name: &str) {
        let file = self.own(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        self.accept();
        assert!(self.trusted(), "{name}");
        fs::write(&file, "a").unwrap();
        assert!(!self.trusted(), "{name}: it is there now");
        self.accept();
        assert!(self.trusted(), "{name}");
        assert!(
            trust::files(&self.config)
                .unwrap()
                .contains(&name.to_owned())
        );
        fs::write(&file, "b").unwrap();
        assert!(!self.trusted(), "{name}: another one");
        fs::write(&file, "a").unwrap();
        assert!(self.trusted(), "{name}: as it was accepted");
    }
}

fn kubeconfig(cluster: &str, user: &str) -> String {
    let cluster = match cluster {
        "" => String::new(),
        more => format!(", {more}"),
    };
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters:\n- name: k\n  cluster: {{ server: 'https://127.0.0.1:1'{cluster} }}\n\
         contexts:\n- name: c\n  context: {{ cluster: k, user: u }}\n\
         users:\n- name: u\n  user: {{ {user} }}\n"
    )
}

/// A pull that changes nothing but a program or a certificate changes what runs and who is believed.
#[test]
fn trust_hangs_on_what_a_kubeconfig_names() {
    for (cluster, user, file) in [
        ("", "exec: { command: ./login.sh }", "k8s/login.sh"),
        ("", "exec: { command: bin/login }", "k8s/bin/login"),
        ("", "exec: { command: sh, args: [login.sh] }", "login.sh"),
        (
            "",
            "exec: { command: sh, args: ['-c', 'exec ./login.sh --with=x'] }",
            "login.sh",
        ),
        (
            "",
            "exec: { command: go, args: ['--config=./etc/login.json'] }",
            "etc/login.json",
        ),
        (
            "",
            "exec: { command: aws, env: [{ name: AWS_CONFIG_FILE, value: aws.ini }] }",
            "aws.ini",
        ),
        (
            "",
            "exec: { command: aws, args: ['--cli-input-json', 'file://in.json'] }",
            "in.json",
        ),
        (
            "",
            "exec: { command: curl, args: ['-d', '@in.json'] }",
            "in.json",
        ),
        (
            "",
            "exec: { command: sh, args: ['-c', '(./login.sh <token)'] }",
            "token",
        ),
        (
            "",
            "exec: { command: log-in, env: [{ name: PATH, value: './bin:/usr/bin' }] }",
            "bin/log-in",
        ),
        (
            "",
            "exec: { command: log-in, env: [{ name: PATH, value: /usr/bin }, { name: PATH, value: ./bin }] }",
            "bin/log-in",
        ),
        (
            "",
            "auth-provider: { name: gcp, config: { cmd-path: ./login.sh } }",
            "login.sh",
        ),
        ("", "tokenFile: ../token", "token"),
        (
            "",
            "client-certificate: c.pem, client-key: k.pem",
            "k8s/c.pem",
        ),
        (
            "",
            "client-certificate: c.pem, client-key: k.pem",
            "k8s/k.pem",
        ),
        ("certificate-authority: ca.crt", "", "k8s/ca.crt"),
        // As its reader has it, not as it is spelled.
        ("certificate-authority: \"\\x63a.crt\"", "", "k8s/ca.crt"),
    ] {
        Project::kubernetes(cluster, user).hangs_on(file);
    }
    let project = Project::new(KUBERNETES);
    let command = project.own("login.sh");
    let user = format!("exec: {{ command: '{}' }}", command.display());
    fs::write(project.own("k8s/config"), kubeconfig("", &user)).unwrap();
    project.hangs_on("login.sh");
    let text = kubeconfig("certificate-authority: ca.crt", "");
    let wide = text.encode_utf16().flat_map(u16::to_le_bytes);
    let wide: Vec<u8> = [0xFF, 0xFE].into_iter().chain(wide).collect();
    let project = Project::new(KUBERNETES);
    fs::write(project.own("k8s/config"), wide).unwrap();
    project.hangs_on("k8s/ca.crt");
}

#[test]
fn trust_hangs_on_what_a_file_of_credentials_names() {
    for (source, file) in [
        (r#"{ "file": "token" }"#, "token"),
        (r#"{ "file": "./\u0074oken" }"#, "token"),
        (
            r#"{ "executable": { "command": "./login.sh now" } }"#,
            "login.sh",
        ),
        (
            r#"{ "executable": { "command": "sh login.sh" } }"#,
            "login.sh",
        ),
        (
            r#"{ "executable": { "command": "x", "output_file": "out.json" } }"#,
            "out.json",
        ),
    ] {
        let account = format!(r#"{{ "type": "external_account", "credential_source": {source} }}"#);
        let impersonated = format!(
            r#"{{ "type": "impersonated_service_account", "source_credentials": {account} }}"#
        );
        for text in [account, impersonated] {
            let project = Project::new(GCP);
            fs::write(project.own("gcp.json"), text).unwrap();
            project.hangs_on(file);
        }
    }
}

/// What is not in the folder is the user's, and what is not named is nobody's.
#[test]
fn trust_stays_when_other_files_change() {
    let user = "exec: { command: aws, args: [eks, get-token] }, tokenFile: ../../token";
    let project = Project::kubernetes("certificate-authority: ca.crt", user);
    fs::create_dir(project.own("eks")).unwrap();
    project.accept();
    for other in ["k8s/aws.md", "eks/file", "../token", "login.sh"] {
        fs::write(project.own(other), "a").unwrap();
        assert!(project.trusted(), "{other}");
    }
}

#[test]
fn trust_ends_where_a_link_that_a_kubeconfig_names_leads_elsewhere() {
    let project = Project::kubernetes("certificate-authority: ca.crt", "");
    let link = project.own("k8s/ca.crt");
    symlink("../../one", &link).unwrap();
    for file in ["one", "two"] {
        fs::write(project.dir.path().join(file), "a").unwrap();
    }
    project.accept();
    fs::write(project.dir.path().join("one"), "b").unwrap();
    assert!(project.trusted(), "what is there is the user's");
    fs::remove_file(&link).unwrap();
    symlink("../../two", &link).unwrap();
    assert!(!project.trusted());
}

/// The names in the user's own kubeconfig are taken from the folder of the link.
#[test]
fn trust_hangs_on_what_a_linked_kubeconfig_names_in_the_folder() {
    let project = Project::new(KUBERNETES);
    let text = kubeconfig("certificate-authority: ca.crt", "");
    fs::write(project.dir.path().join("config"), text).unwrap();
    symlink("../../config", project.own("k8s/config")).unwrap();
    project.hangs_on("k8s/ca.crt");
}

#[test]
fn what_a_kubeconfig_names_is_not_looked_for_without_end() {
    let words: Vec<_> = (0..20_000).map(|at| format!("w{at}")).collect();
    let user = format!("exec: {{ command: sh, args: ['{}'] }}", words.join(" "));
    let refused = Project::kubernetes("", &user);
    let error = refused.list.add(&refused.config).unwrap_err().to_string();
    assert!(error.contains("more than 32768 names"), "{error}");
    let folders: Vec<_> = (0..20_000).map(|at| format!("f{at}")).collect();
    let user = format!(
        "exec: {{ command: {}, env: [{{ name: PATH, value: '{}' }}] }}",
        "c".repeat(250),
        folders.join(":")
    );
    let much = Project::kubernetes("", &user);
    let error = much.list.add(&much.config).unwrap_err();
    assert!(error.to_string().contains("larger than 4 MiB"), "{error}");
    let large = Project::kubernetes("", &format!("token: {}", "x".repeat(4 << 20)));
    let error = large.list.add(&large.config).unwrap_err().to_string();
    assert!(error.contains("larger than 4 MiB"), "{error}");
}
