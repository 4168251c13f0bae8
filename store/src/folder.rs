//! Folders whose names survive a power failure: a folder that vanishes takes synced files with it.

use std::io::{ErrorKind, Result};
use std::path::Path;

use parking_lot::Mutex;

use crate::disk::Disk;

/// One at a time, so that nobody builds on a folder whose name another has not made durable yet.
static MAKING: Mutex<()> = Mutex::new(());

/// Makes a folder and those above it, as far as they are missing, and their names durable, from the top down.
pub(crate) fn create(disk: &dyn Disk, folder: &Path) -> Result<()> {
    build(disk, folder, false)
}

/// The same; what is made is its owner's alone.
pub(crate) fn create_private(disk: &dyn Disk, folder: &Path) -> Result<()> {
    build(disk, folder, true)
}

fn build(disk: &dyn Disk, folder: &Path, private: bool) -> Result<()> {
    let _making = MAKING.lock();
    let folder = std::path::absolute(folder)?;
    let missing: Vec<_> = folder
        .ancestors()
        .take_while(|folder| !disk.is_folder(folder))
        .collect();
    for folder in missing.into_iter().rev() {
        match disk.make_folder(folder, private) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        if let Some(above) = folder.parent() {
            disk.sync_folder(above)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::disk::Local;

    #[test]
    fn many_at_once_make_the_same_folders() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for n in 0..8 {
                let folder = dir.path().join("a/b").join(n.to_string());
                scope.spawn(move || create(&Local, &folder).unwrap());
            }
        });
        assert_eq!(
            std::fs::read_dir(dir.path().join("a/b")).unwrap().count(),
            8
        );
        create(&Local, dir.path()).unwrap();
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert!(create(&Local, &dir.path().join("file/folder")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn private_means_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        create_private(&Local, &dir.path().join("a/b")).unwrap();
        let mode = std::fs::metadata(dir.path().join("a"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
