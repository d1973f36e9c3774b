use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

const SOMEBODY: u32 = 20_000;

fn we_are_root() -> bool {
    current_user().uid == 0
}

/// A folder whose whole path belongs to us or root.
fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn file(path: &Path, text: &str, mode: u32) -> PathBuf {
    fs::write(path, text).unwrap();
    set(path, mode);
    path.to_owned()
}

fn refusal(path: &Path) -> String {
    read(path).unwrap_err()
}

#[test]
fn fault_10_a_private_file_of_ours_is_read_without_its_line_end() {
    let dir = folder();
    for (text, expected) in
        [("hunter2", "hunter2"), ("hunter2\n", "hunter2"), ("a b \r\n\n", "a b "), ("ä", "ä")]
    {
        let read = read(&file(&dir.path().join("secret"), text, 0o600)).unwrap();
        assert_eq!((read.secret.expose(), read.warning), (expected, None));
    }
}

#[test]
fn fault_10_a_file_of_root_that_others_can_read_is_accepted_with_a_warning() {
    // `/etc/passwd` is root's, and everybody can read it. If we are root, only a file that nobody may write counts as
    // put there for us.
    let dir = folder();
    let path = match we_are_root() {
        true => file(&dir.path().join("secret"), "hunter2", 0o444),
        false => PathBuf::from("/etc/passwd"),
    };
    let read = read(&path).unwrap();
    let warning = read.warning.unwrap();
    let shown = path.display();
    assert!(
        warning.starts_with(&format!("others can read the secret in {shown} (owner root, ")),
        "{warning}"
    );
    assert!(warning.ends_with("it is accepted because only root can write it"), "{warning}");
}

#[test]
fn fault_10_the_links_of_a_kubernetes_volume_are_followed() {
    let dir = folder();
    let volume = dir.path().join("volume");
    fs::create_dir(&volume).unwrap();
    let files = volume.join("..2026_11_30_10_00_00.123456789");
    fs::create_dir(&files).unwrap();
    file(&files.join("secret"), "hunter2", if we_are_root() { 0o644 } else { 0o600 });
    symlink(files.file_name().unwrap(), volume.join("..data")).unwrap();
    symlink("..data/secret", volume.join("secret")).unwrap();
    set(&volume, 0o3777);
    let taken = read(&volume.join("secret")).unwrap();
    assert_eq!((taken.secret.expose(), taken.warning.is_some()), ("hunter2", we_are_root()));
    // The folder that the links lead to counts, not only the one in the path.
    set(&files, 0o757);
    let said = refusal(&volume.join("secret"));
    let named = format!("they can write to the folder {} (owner ", files.display());
    assert!(said.contains(&named) && said.contains("`chmod go-w "), "{said}");
    set(&files, 0o755);
    set(&volume, 0o777);
    assert!(refusal(&volume.join("secret")).contains("others can replace the file"), "not sticky");
}

#[test]
fn fault_10_files_and_folders_of_other_users_are_refused() {
    if !we_are_root() {
        // Only root can give files away.
        eprintln!("not root: only the table test of the rule covers files of other users");
        return;
    }
    let dir = folder();
    let shared = file(&dir.path().join("secret"), "hunter2", 0o444);
    chown(&shared, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    let said = refusal(&shared);
    assert!(said.contains("(owner 20000, group 20000, mode 0444); keep them out with `chmod 600 "), "{said}");
    // Root may read the private file of a service, because it works for it.
    set(&shared, 0o400);
    assert!(read(&shared).is_ok());
    let own = dir.path().join("own");
    fs::create_dir(&own).unwrap();
    let mounted = file(&own.join("secret"), "hunter2", 0o444);
    chown(&own, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    let said = refusal(&mounted);
    assert!(
        said.contains(
            "is theirs (owner 20000, group 20000, mode 0755; idp runs as root); move it to a folder that only the user root \
             can write"
        ),
        "{said}"
    );
}

#[test]
fn fault_10_what_cannot_be_a_secret_file_is_refused_with_the_reason() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("folder")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    symlink("nowhere/secret", at("dangling")).unwrap();
    symlink("loop", at("loop")).unwrap();
    fs::write(at("bytes"), [0xff, 0xfe]).unwrap();
    set(&at("bytes"), 0o600);
    file(&at("empty"), "\n", 0o600);
    file(&at("long"), &"x".repeat(64 * 1024 + 1), 0o600);
    file(&at("longest"), &"x".repeat(64 * 1024), 0o600);
    file(&at("shared"), "hunter2", 0o664);
    for (name, why) in [
        ("folder", "it is a folder (Docker creates one if the source of a mount is missing)"),
        ("pipe", "it is not a regular file"),
        ("missing", "No such file or directory (os error 2)"),
        ("dangling", "dangling is a link to nowhere/secret, and "),
        ("loop", "it is a link that leads back to itself"),
        ("bytes", "stream did not contain valid UTF-8"),
        ("empty", "empty is empty"),
        ("long", "it is longer than 64 KiB"),
        ("shared", "mode 0664); keep them out with `chmod 600 "),
        ("longest/x", "Not a directory"),
    ] {
        let said = refusal(&at(name));
        assert!(said.contains(why) && said.contains(&*at(name).to_string_lossy()), "{name}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert_eq!(read(&at("longest")).unwrap().secret.expose().len(), 64 * 1024);
    assert!(refusal(Path::new("/dev/null")).contains("it is not a regular file"));
}

#[test]
fn fault_10_folders_for_keys_and_data_are_checked() {
    let dir = folder();
    let own = dir.path().join("own");
    assert_eq!(check_folder(&own, "keys.dir", false), Ok(()), "it need not exist");
    fs::create_dir(&own).unwrap();
    for (mode, good) in
        [(0o700, true), (0o755, true), (0o2775, true), (0o777, false), (0o1777, false), (0o703, false)]
    {
        set(&own, mode);
        let judged = check_folder(&own, "keys.dir", true);
        assert_eq!(judged.is_ok(), good, "{mode:o} {judged:?}");
        if let Err(said) = judged {
            let shown = own.display();
            let begin = format!("everybody can write to the folder {shown} (keys.dir; owner ");
            assert!(said.starts_with(&begin) && said.contains(&format!("run `chmod o-w {shown}`")), "{said}");
        }
    }
    if we_are_root() {
        set(&own, 0o700);
        chown(&own, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
        let said = check_folder(&own, "keys.dir", false).unwrap_err();
        assert!(said.contains("(keys.dir) belongs to another user (owner 20000, "), "{said}");
        assert!(said.ends_with("idp runs as root); run idp as its owner"), "{said}");
        assert_eq!(
            check_folder(&own, "keys.dir", true),
            Ok(()),
            "`idp dev` in a container works for another user"
        );
    }
}

#[test]
fn fault_22_nobody_is_told_to_change_a_folder_of_the_system() {
    let access = |uid, mode| Access { uid, gid: 0, mode };
    for (folder, access, uid, of_others) in [
        ("/", access(0, 0o755), 0, true),
        ("/tmp", access(0, 0o1777), 0, true),
        ("/usr/share", access(0, 0o755), SOMEBODY, true),
        ("/usr/share/idp", access(0, 0o755), SOMEBODY, true),
        ("/var/lib", access(0, 0o755), SOMEBODY, true),
        ("/var/lib/idp", access(0, 0o755), SOMEBODY, false),
        ("/etc/idp/keys", access(0, 0o755), SOMEBODY, false),
        ("/data", access(0, 0o755), SOMEBODY, false),
        ("/data", access(0, 0o1777), SOMEBODY, true),
        ("/data", access(0, 0o1777), 0, false),
        ("/home/ada", access(1000, 0o700), SOMEBODY, true),
        ("/home/ada", access(SOMEBODY, 0o777), SOMEBODY, false),
        ("/home/ada/idp", access(1000, 0o700), SOMEBODY, false),
    ] {
        assert_eq!(owner::is_of_others(Path::new(folder), access, uid), of_others, "{folder} {access} {uid}");
    }
    let said = check_folder(Path::new("/tmp"), "keys.dir", true).unwrap_err();
    assert!(said.contains("mode 1777); use a folder that only the user ") && !said.contains('`'), "{said}");
}
