use std::path::Path;

use trunkline_core::store::disk::{Disk, OsDisk, read_file};
use trunkline_core::store::simulated::{DiskCall, Failure, Fault, SimulatedDisk};

/// Returns a disk with a file whose second half was written but not made durable: its sync failed.
fn abandoned(seed: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(seed);
    let mut file = disk.create(Path::new("file")).unwrap();
    file.append(&[1; 1000]).unwrap();
    file.sync().unwrap();
    disk.sync_directory(Path::new("")).unwrap();
    file.append(&[2; 1000]).unwrap();
    disk.inject(Fault {
        call: Some(DiskCall::Sync),
        after: 0,
        failure: Failure::Error,
        lasting: false,
    });
    file.sync().unwrap_err();
    disk
}

fn content(disk: &SimulatedDisk) -> Vec<u8> {
    read_file(disk, Path::new("file"), 10_000).unwrap()
}

#[test]
fn what_is_written_over_and_synced_is_durable_where_an_earlier_sync_failed() {
    for seed in 0..200 {
        let disk = abandoned(seed);
        let mut file = disk.reuse(Path::new("file"), 1000).unwrap();
        file.append(&[3; 600]).unwrap();
        file.sync().unwrap();
        disk.crash(seed);
        let content = content(&disk);
        assert_eq!(content[..1600], [[1; 1000].as_slice(), &[3; 600]].concat());
        // Bytes that were not overwritten are still either lost or kept.
        assert!(content.len() <= 2000);
    }
}

#[test]
fn a_sync_alone_does_not_make_durable_what_an_earlier_sync_failed_to() {
    let lost = (0..200).filter(|seed| {
        let disk = abandoned(*seed);
        let mut file = disk.reuse(Path::new("file"), 2000).unwrap();
        file.append(&[3; 10]).unwrap();
        file.sync().unwrap();
        disk.crash(*seed);
        content(&disk)[1000..2000] != [2; 1000]
    });
    assert!(lost.count() > 50);
}

#[test]
fn what_is_kept_of_a_file_stays() {
    let directory = tempfile::tempdir().unwrap();
    let on_system = directory.path().join("file");
    let simulated = SimulatedDisk::new(1);
    let disks: [(&dyn Disk, &Path); 2] = [(&OsDisk, &on_system), (&simulated, Path::new("file"))];
    for (disk, path) in disks {
        disk.create(path).unwrap().append(b"0123456789").unwrap();
        let mut file = disk.reuse(path, 4).unwrap();
        file.append(b"ab").unwrap();
        file.append(b"c").unwrap();
        assert_eq!(read_file(disk, path, 100).unwrap(), b"0123abc789");
        let error = disk.reuse(path, 11).err().unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
        assert!(disk.reuse(path, 10).is_ok());
    }
}
