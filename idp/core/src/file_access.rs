//! Which files may hold secrets, and which folders may lead to them, judged by owner and permission bits.
//!
//! A file of our own is private: mode 0600. A file that a container tool mounted is root's, often readable by all
//! (Docker: 0444) or by a group (Kubernetes: 0440), and only root can write it: it is trusted, with a warning. Folders
//! are judged too, because whoever can write a folder can replace what is in it.

use std::fmt;

const ROOT: u32 = 0;
const STICKY: u32 = 0o1000;
const WRITE: u32 = 0o222;

/// Owner, group and permission bits of a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The lower twelve bits of the mode.
    pub mode: u32,
}

/// The user this program runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrentUser {
    /// The effective user ID.
    pub uid: u32,
    /// In a user namespace, the ID that stands for every owner outside it. Nobody inside can be that user.
    pub outsiders: Option<u32>,
}

/// Who can read a secret file that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Its owner alone.
    Owner,
    /// Others as well. This is worth a warning.
    Others,
}

/// Why a file or folder is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessProblem {
    /// Users other than the owner can do this with it: `read`, `write` or `run`.
    OthersCan(&'static str),
    /// It belongs neither to root nor to us.
    WrongOwner,
}

impl Access {
    fn is(self, bits: u32) -> bool {
        self.mode & bits != 0
    }

    /// What users other than the owner can do, if anything.
    pub fn others_can(self) -> Option<&'static str> {
        let verbs = [(0o044, "read"), (0o022, "write"), (0o011, "run")];
        verbs.into_iter().find(|(bits, _)| self.is(*bits)).map(|(_, verb)| verb)
    }

    fn is_of(self, us: CurrentUser) -> bool {
        self.uid == ROOT || self.uid == us.uid
    }

    /// Whether a group that may have members can write. Group 0 is root's; by a widespread convention, a group with
    /// the owner's number is the owner's own.
    fn group_can_write(self) -> bool {
        self.is(0o020) && self.gid != ROOT && self.gid != self.uid
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "owner {}, ", name(self.uid))?;
        if self.is(0o070) {
            write!(f, "group {}, ", name(self.gid))?;
        }
        write!(f, "mode {:04o}", self.mode)
    }
}

impl fmt::Display for CurrentUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name(self.uid))
    }
}

fn name(id: u32) -> String {
    if id == ROOT { "root".to_owned() } else { id.to_string() }
}

/// Whether a file may hold a secret. `mounted` says that a tool put it there for us; a file that not even its owner may
/// write counts as mounted. This matters when we run as root, because then root's files are our own as well.
///
/// # Errors
/// Why it may not.
pub fn secret_file(file: Access, us: CurrentUser, mounted: bool) -> Result<Readers, AccessProblem> {
    let Some(verb) = file.others_can() else {
        // Root may be told to read a service's private file.
        return if file.is_of(us) || us.uid == ROOT {
            Ok(Readers::Owner)
        } else {
            Err(AccessProblem::WrongOwner)
        };
    };
    let is_roots = file.uid == ROOT && (us.uid != ROOT || mounted || !file.is(WRITE));
    match file.is(0o022) {
        false if is_roots && file.is(0o044) => Ok(Readers::Others),
        false if is_roots => Ok(Readers::Owner),
        true if is_roots => Err(AccessProblem::OthersCan("write")),
        _ if file.is_of(us) || us.uid == ROOT => Err(AccessProblem::OthersCan(verb)),
        _ => Err(AccessProblem::WrongOwner),
    }
}

/// Whether a file that decides what we do, such as the configuration file, may be used. A group of its owner's own may
/// write it: on systems where every user has one, that is how editors make files.
///
/// # Errors
/// Why it may not.
pub fn deciding_file(file: Access, us: CurrentUser) -> Result<(), AccessProblem> {
    let written_by = if file.group_can_write() { file.mode } else { file.mode & !0o020 };
    trusted_file(Access { mode: written_by, ..file }, us)
}

/// Whether a file that is not secret may be trusted, such as a CA certificate.
///
/// # Errors
/// Why it may not.
pub fn trusted_file(file: Access, us: CurrentUser) -> Result<(), AccessProblem> {
    match file.is_of(us) || us.uid == ROOT {
        false => Err(AccessProblem::WrongOwner),
        true if file.is(0o022) => Err(AccessProblem::OthersCan("write")),
        true => Ok(()),
    }
}

/// Whether a folder may lead to a file with these readers. `entry` is the owner of the folder's entry on the path,
/// which may be a link: in a sticky folder, such as `/tmp`, only that owner can replace it.
///
/// If others can read the file, every folder on its path must be root's or ours. A private file is safe by itself,
/// because it cannot be forged: then only a folder that everybody can write, or a stranger's, is refused, and root may
/// use a stranger's.
///
/// # Errors
/// Why it may not.
pub fn folder_on_path(
    folder: Access,
    entry: u32,
    us: CurrentUser,
    readers: Readers,
) -> Result<(), AccessProblem> {
    let is_private = readers == Readers::Owner;
    let by_root = is_private && us.uid == ROOT;
    let by_nobody = is_private && us.outsiders == Some(folder.uid);
    if !(folder.is_of(us) || by_root || by_nobody) {
        return Err(AccessProblem::WrongOwner);
    }
    let is_protected_by_sticky_bit = folder.is(STICKY) && (entry == ROOT || entry == us.uid || by_root);
    let is_open = folder.is(0o002) || (!is_private && folder.group_can_write());
    if is_open && !is_protected_by_sticky_bit { Err(AccessProblem::OthersCan("write")) } else { Ok(()) }
}

/// Whether our keys or our database may live in a folder. `mounted` says that a tool filled it for us: Kubernetes makes
/// such a folder root's, sticky and writable by everybody.
///
/// # Errors
/// Why they may not.
pub fn own_folder(folder: Access, us: CurrentUser, mounted: bool) -> Result<(), AccessProblem> {
    if !folder.is_of(us) {
        return Err(AccessProblem::WrongOwner);
    }
    let is_protected_by_sticky_bit = mounted && folder.uid == ROOT && folder.is(STICKY);
    if folder.is(0o002) && !is_protected_by_sticky_bit {
        Err(AccessProblem::OthersCan("write"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::AccessProblem::{OthersCan, WrongOwner};
    use super::Readers::{Others, Owner};
    use super::*;

    const US: u32 = 1000;
    const SOMEBODY: u32 = 2000;

    fn us(uid: u32) -> CurrentUser {
        CurrentUser { uid, outsiders: None }
    }

    fn access(uid: u32, gid: u32, mode: u32) -> Access {
        Access { uid, gid, mode }
    }

    #[test]
    fn fault_10_secret_files_of_root_are_accepted_and_ours_must_be_private() {
        for (owner, mode, runs_as, mounted, expected) in [
            // Ours: private, or refused.
            (US, 0o600, US, false, Ok(Owner)),
            (US, 0o400, US, false, Ok(Owner)),
            (US, 0o700, US, false, Ok(Owner)),
            (US, 0o644, US, false, Err(OthersCan("read"))),
            (US, 0o640, US, false, Err(OthersCan("read"))),
            (US, 0o604, US, false, Err(OthersCan("read"))),
            (US, 0o660, US, false, Err(OthersCan("read"))),
            (US, 0o620, US, false, Err(OthersCan("write"))),
            (US, 0o611, US, false, Err(OthersCan("run"))),
            (US, 0o444, US, true, Err(OthersCan("read"))),
            // Root's, as Docker (0444) and Kubernetes (0440, 0400, by default 0644) mount them.
            (ROOT, 0o444, US, true, Ok(Others)),
            (ROOT, 0o440, US, true, Ok(Others)),
            (ROOT, 0o400, US, true, Ok(Owner)),
            (ROOT, 0o644, US, true, Ok(Others)),
            (ROOT, 0o644, US, false, Ok(Others)),
            (ROOT, 0o640, US, false, Ok(Others)),
            (ROOT, 0o711, US, false, Ok(Owner)),
            (ROOT, 0o600, US, false, Ok(Owner)),
            (ROOT, 0o664, US, false, Err(OthersCan("write"))),
            (ROOT, 0o646, US, false, Err(OthersCan("write"))),
            (ROOT, 0o622, US, true, Err(OthersCan("write"))),
            (ROOT, 0o666, US, true, Err(OthersCan("write"))),
            (ROOT, 0o777, US, true, Err(OthersCan("write"))),
            // As root, root's files are ours, unless a tool put them there.
            (ROOT, 0o600, ROOT, false, Ok(Owner)),
            (ROOT, 0o400, ROOT, false, Ok(Owner)),
            (ROOT, 0o444, ROOT, false, Ok(Others)),
            (ROOT, 0o440, ROOT, false, Ok(Others)),
            (ROOT, 0o644, ROOT, true, Ok(Others)),
            (ROOT, 0o644, ROOT, false, Err(OthersCan("read"))),
            (ROOT, 0o640, ROOT, false, Err(OthersCan("read"))),
            (ROOT, 0o666, ROOT, false, Err(OthersCan("read"))),
            (ROOT, 0o666, ROOT, true, Err(OthersCan("write"))),
            // A stranger's file: root reads it if it is private to its owner.
            (SOMEBODY, 0o600, US, false, Err(WrongOwner)),
            (SOMEBODY, 0o644, US, false, Err(WrongOwner)),
            (SOMEBODY, 0o444, US, true, Err(WrongOwner)),
            (SOMEBODY, 0o600, ROOT, false, Ok(Owner)),
            (SOMEBODY, 0o644, ROOT, false, Err(OthersCan("read"))),
            (SOMEBODY, 0o444, ROOT, true, Err(OthersCan("read"))),
        ] {
            for group in [ROOT, US, SOMEBODY] {
                let judged = secret_file(access(owner, group, mode), us(runs_as), mounted);
                assert_eq!(judged, expected, "{owner}:{group} {mode:o} as {runs_as}, mounted: {mounted}");
            }
        }
    }

    #[test]
    fn fault_10_a_folder_that_others_can_write_leads_to_no_secret() {
        for (folder, entry, runs_as, readers, expected) in [
            (access(ROOT, ROOT, 0o755), US, US, Owner, Ok(())),
            (access(US, US, 0o700), US, US, Owner, Ok(())),
            (access(US, US, 0o775), US, US, Others, Ok(())),
            (access(ROOT, ROOT, 0o775), ROOT, US, Others, Ok(())),
            // A group of several people: of no use to them if the file cannot be forged.
            (access(US, SOMEBODY, 0o775), US, US, Owner, Ok(())),
            (access(ROOT, SOMEBODY, 0o775), ROOT, US, Others, Err(OthersCan("write"))),
            // Everybody.
            (access(ROOT, ROOT, 0o777), US, US, Owner, Err(OthersCan("write"))),
            (access(US, US, 0o777), US, US, Owner, Err(OthersCan("write"))),
            (access(US, US, 0o702), US, US, Others, Err(OthersCan("write"))),
            (access(ROOT, ROOT, 0o777), ROOT, ROOT, Owner, Err(OthersCan("write"))),
            // `/tmp`, and the folder of a Kubernetes secret: 1777, or 3777 with an fsGroup.
            (access(ROOT, ROOT, 0o1777), ROOT, US, Others, Ok(())),
            (access(ROOT, SOMEBODY, 0o3777), ROOT, US, Others, Ok(())),
            (access(ROOT, ROOT, 0o1777), US, US, Owner, Ok(())),
            (access(ROOT, ROOT, 0o1777), SOMEBODY, US, Owner, Err(OthersCan("write"))),
            (access(SOMEBODY, ROOT, 0o1777), ROOT, US, Owner, Err(WrongOwner)),
            // A stranger's folder: root may be told to use one for a private file.
            (access(SOMEBODY, SOMEBODY, 0o755), US, US, Owner, Err(WrongOwner)),
            (access(SOMEBODY, SOMEBODY, 0o755), ROOT, US, Others, Err(WrongOwner)),
            (access(SOMEBODY, SOMEBODY, 0o755), SOMEBODY, ROOT, Owner, Ok(())),
            (access(SOMEBODY, SOMEBODY, 0o755), ROOT, ROOT, Others, Err(WrongOwner)),
            (access(SOMEBODY, SOMEBODY, 0o757), ROOT, ROOT, Owner, Err(OthersCan("write"))),
            (access(ROOT, ROOT, 0o1777), SOMEBODY, ROOT, Owner, Ok(())),
        ] {
            let judged = folder_on_path(folder, entry, us(runs_as), readers);
            assert_eq!(judged, expected, "{folder}, entry of {entry}, as {runs_as}, {readers:?}");
        }
        // In a user namespace `/` itself may belong to somebody who is not in it.
        let inside = CurrentUser { uid: US, outsiders: Some(65534) };
        let outside = access(65534, 65534, 0o755);
        assert_eq!(folder_on_path(outside, US, inside, Owner), Ok(()));
        assert_eq!(folder_on_path(outside, ROOT, inside, Others), Err(WrongOwner));
        assert_eq!(folder_on_path(outside, US, us(US), Owner), Err(WrongOwner));
    }

    #[test]
    fn fault_10_keys_and_data_live_in_folders_of_ours_that_not_everybody_can_write() {
        for (folder, runs_as, mounted, expected) in [
            (access(US, US, 0o700), US, false, Ok(())),
            (access(US, US, 0o755), US, false, Ok(())),
            (access(US, SOMEBODY, 0o2770), US, false, Ok(())),
            // A volume of Kubernetes with an fsGroup.
            (access(ROOT, US, 0o2775), US, false, Ok(())),
            (access(ROOT, ROOT, 0o755), US, false, Ok(())),
            (access(US, US, 0o777), US, false, Err(OthersCan("write"))),
            (access(ROOT, ROOT, 0o777), US, true, Err(OthersCan("write"))),
            (access(ROOT, ROOT, 0o1777), US, false, Err(OthersCan("write"))),
            (access(ROOT, ROOT, 0o1777), ROOT, false, Err(OthersCan("write"))),
            // A secret of Kubernetes.
            (access(ROOT, ROOT, 0o1777), US, true, Ok(())),
            (access(ROOT, US, 0o3777), US, true, Ok(())),
            (access(US, US, 0o1777), US, true, Err(OthersCan("write"))),
            (access(SOMEBODY, US, 0o770), US, false, Err(WrongOwner)),
            (access(SOMEBODY, SOMEBODY, 0o700), ROOT, false, Err(WrongOwner)),
            (access(SOMEBODY, SOMEBODY, 0o777), US, true, Err(WrongOwner)),
        ] {
            assert_eq!(own_folder(folder, us(runs_as), mounted), expected, "{folder} as {runs_as}");
        }
    }

    #[test]
    fn fault_10_what_must_be_trusted_may_be_read_by_all_and_written_by_its_owner() {
        for (file, runs_as, expected) in [
            (access(ROOT, ROOT, 0o644), US, Ok(())),
            (access(US, US, 0o644), US, Ok(())),
            (access(US, US, 0o664), US, Err(OthersCan("write"))),
            (access(ROOT, ROOT, 0o666), US, Err(OthersCan("write"))),
            (access(SOMEBODY, SOMEBODY, 0o644), US, Err(WrongOwner)),
            // To take the write permission away would not be enough.
            (access(SOMEBODY, SOMEBODY, 0o666), US, Err(WrongOwner)),
            (access(SOMEBODY, SOMEBODY, 0o644), ROOT, Ok(())),
            (access(SOMEBODY, SOMEBODY, 0o666), ROOT, Err(OthersCan("write"))),
        ] {
            assert_eq!(trusted_file(file, us(runs_as)), expected, "{file} as {runs_as}");
        }
    }

    #[test]
    fn fault_10_the_owners_own_group_may_write_a_configuration_file() {
        for (file, expected) in [
            (access(US, US, 0o664), Ok(())),
            (access(ROOT, ROOT, 0o664), Ok(())),
            (access(US, SOMEBODY, 0o664), Err(OthersCan("write"))),
            (access(US, US, 0o662), Err(OthersCan("write"))),
            (access(ROOT, US, 0o664), Err(OthersCan("write"))),
            (access(SOMEBODY, SOMEBODY, 0o664), Err(WrongOwner)),
        ] {
            assert_eq!(deciding_file(file, us(US)), expected, "{file}");
        }
    }

    #[test]
    fn fault_10_owner_and_mode_are_named() {
        assert_eq!(access(ROOT, ROOT, 0o400).to_string(), "owner root, mode 0400");
        assert_eq!(access(ROOT, US, 0o440).to_string(), "owner root, group 1000, mode 0440");
        assert_eq!(access(US, ROOT, 0o1777).to_string(), "owner 1000, group root, mode 1777");
    }
}
