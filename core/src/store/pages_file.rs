//! The `PAGES` file: the digests of all pages of a tree at a checkpoint, from which the tree is opened without its
//! leaves.
//!
//! A page is the subtree of a few dozen leaves below one prefix. The file is written and read in parts, slot by slot.
//! It is derived from the leaves: if it is missing or of another version, they are read instead. Its content must fold
//! to the state digest of a commit record. Not here: the pages of a tree, and folding them (`tree`).

use std::io::{self, BufReader, Read};
use std::path::Path;

use super::cursor::{Cursor, put_varint};
use super::disk::{
    Disk, DiskFile, DiskReader, ReadFileError, found, parent_of, prepare_file, put_prepared,
};
use crate::hash::{Digest, FRAME, ZERO};
use crate::params::{FORMAT, PATH_BITS, ROOT_BITS, WIDTH};

/// Name of the file.
pub const PAGES_FILE: &str = "PAGES";

const MAGIC: [u8; 8] = *b"trunkpgs";
const HEADER_BYTES: u64 = 8 + 2 + 32 + 8 + 32;
const CHECKSUM_BYTES: u64 = 32;
/// The minimum level of a page that fills several places.
const WIDE_LEVEL_MIN: u8 = 7;
/// The places that a directory may have in addition to the number of its slot's leaves.
const EMPTY_PLACES_MAX: u64 = 128;
/// The bytes that are read or written at once.
const PART_BYTES: usize = 256 << 10;

/// A page: the number of its leaves, and their digest.
///
/// ```
/// use trunkline_core::store::pages_file::StoredPage;
/// assert_eq!(StoredPage::default().leaves, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredPage {
    /// The number of binary levels by which it is above the pages of its directory: it fills two to the power of this
    /// places.
    pub levels_above: u8,
    /// The number of its leaves.
    pub leaves: u32,
    /// The digest of its subtree; zero if it is empty.
    pub digest: Digest,
}

/// The pages of a slot.
///
/// ```
/// use trunkline_core::store::pages_file::{SlotPages, StoredPage};
/// let empty = SlotPages { bits: 0, level: 0, pages: vec![StoredPage::default()] };
/// assert!(empty.can_be_stored());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotPages {
    /// Binary levels of the directory of cells.
    pub bits: u8,
    /// Binary levels above its pages.
    pub level: u8,
    /// The pages in path order. Together they fill every place once.
    pub pages: Vec<StoredPage>,
}

impl SlotPages {
    /// Returns the number of leaves of the pages.
    pub fn leaves(&self) -> u64 {
        self.pages.iter().map(|page| u64::from(page.leaves)).sum()
    }

    /// Returns whether the pages can be stored. A directory with far more places than leaves cannot, so that a reader
    /// takes no more memory than the leaves would need. (A directory is that sparse only until it is halved.)
    pub fn can_be_stored(&self) -> bool {
        1 << self.level <= EMPTY_PLACES_MAX + self.leaves()
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.bits, self.level]);
        for page in &self.pages {
            out.push(page.levels_above);
            put_varint(u64::from(page.leaves), out);
            if page.leaves > 0 {
                out.extend_from_slice(&page.digest);
            }
        }
    }

    /// Reads the result of [`Self::put`]; `InvalidData` for anything else.
    fn read(bytes: &mut impl Read) -> io::Result<Self> {
        let [bits, level] = array(bytes)?;
        if u32::from(bits) > PATH_BITS - ROOT_BITS || level > bits {
            return Err(invalid());
        }
        let places = 1_u64 << level;
        let (mut pages, mut filled) = (Vec::new(), 0);
        while filled < places {
            let page = StoredPage::read(bytes)?;
            let is_below = page.levels_above == 0
                || page.leaves > 0 && WIDE_LEVEL_MIN.saturating_add(page.levels_above) <= level;
            let width = 1_u64.checked_shl(page.levels_above.into()).unwrap_or(0);
            if !is_below || filled % width != 0 {
                return Err(invalid());
            }
            filled += width;
            pages.push(page);
        }
        let slot = Self { bits, level, pages };
        match slot.can_be_stored() {
            true => Ok(slot),
            false => Err(invalid()),
        }
    }
}

impl StoredPage {
    fn read(bytes: &mut impl Read) -> io::Result<Self> {
        let [levels_above] = array(bytes)?;
        let leaves = read_varint(bytes)?;
        let digest = match leaves {
            0 => ZERO,
            _ => Some(array(bytes)?)
                .filter(|digest| *digest != ZERO)
                .ok_or_else(invalid)?,
        };
        Ok(Self {
            levels_above,
            leaves,
            digest,
        })
    }
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

fn array<const N: usize>(bytes: &mut impl Read) -> io::Result<[u8; N]> {
    let mut array = [0; N];
    bytes.read_exact(&mut array)?;
    Ok(array)
}

/// Reads an LEB128 integer in its shortest form.
fn read_varint(bytes: &mut impl Read) -> io::Result<u32> {
    let mut value = 0_u64;
    for shift in (0..35).step_by(7) {
        let [byte] = array(bytes)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let is_shortest = byte != 0 || shift == 0;
            let value = u32::try_from(value).ok().filter(|_| is_shortest);
            return value.ok_or_else(invalid);
        }
    }
    Err(invalid())
}

/// The state whose pages a file contains.
///
/// ```
/// use trunkline_core::{record::CommitRecord, store::pages_file::PagesOf};
/// let of = PagesOf::of(&CommitRecord::genesis([1; 32]));
/// assert_eq!(of.version, 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagesOf {
    /// The id of the tree.
    pub tree_id: Digest,
    /// The version.
    pub version: u64,
    /// Its commit id.
    pub commit_id: Digest,
}

impl PagesOf {
    /// Returns the state that a record names.
    pub fn of(record: &crate::record::CommitRecord) -> Self {
        Self {
            tree_id: record.tree_id,
            version: record.version,
            commit_id: record.commit_id(),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let (format, version) = (FORMAT.to_le_bytes(), self.version.to_le_bytes());
        let fields: [&[u8]; 5] = [&MAGIC, &format, &self.tree_id, &version, &self.commit_id];
        fields.concat()
    }

    /// Reads the first bytes of a file.
    fn decode(bytes: &[u8]) -> Result<Self, PagesFileError> {
        let mut cursor = Cursor(bytes);
        if cursor.array() != Some(MAGIC) {
            return Err(PagesFileError::Magic);
        }
        match cursor.u16() {
            Some(FORMAT) => {}
            Some(format) => return Err(PagesFileError::Format(format)),
            None => return Err(PagesFileError::Damaged),
        }
        let mut fields = || {
            Some(Self {
                tree_id: cursor.array()?,
                version: cursor.u64()?,
                commit_id: cursor.array()?,
            })
        };
        fields().ok_or(PagesFileError::Damaged)
    }
}

/// The reason why a file of page digests cannot be used.
///
/// ```
/// use trunkline_core::store::pages_file::{PagesFileError, decode};
/// assert_eq!(decode(b"something else"), Err(PagesFileError::Magic));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PagesFileError {
    /// The file begins with other bytes.
    #[error("this is not a file of page digests; remove it, and opening reads the leaves")]
    Magic,
    /// Written by another format version.
    #[error(
        "its format is {0}; this build reads format {FORMAT}: use a build that reads it, or remove the file, and opening reads the leaves"
    )]
    Format(u16),
    /// The length or checksum is wrong, or the pages do not fill a slot.
    #[error("it is damaged; remove it, and opening reads the leaves")]
    Damaged,
}

/// Writes the file of a directory without giving it its name yet: [`put_in_place`] does. `slots` returns the pages of each
/// slot, from 0 to 127. Returns whether there is a file: not if `slots` returned `None` or pages that cannot be stored.
///
/// # Errors
///
/// Fails if the system cannot write it.
pub fn prepare(
    disk: &dyn Disk,
    directory: &Path,
    of: &PagesOf,
    mut slots: impl FnMut(usize) -> Option<SlotPages>,
) -> io::Result<bool> {
    let mut is_whole = false;
    prepare_file(disk, &directory.join(PAGES_FILE), |file| {
        let mut writer = PagesWriter::new(file, of);
        for slot in 0..WIDTH {
            match slots(slot).filter(SlotPages::can_be_stored) {
                Some(pages) => writer.push(&pages)?,
                None => return Ok(()),
            }
        }
        is_whole = true;
        writer.finish()
    })?;
    Ok(is_whole)
}

/// Gives the file that was prepared its name, durably. It replaces that of an earlier checkpoint.
///
/// # Errors
///
/// Fails if the system cannot rename it, or cannot make the name durable.
pub fn put_in_place(disk: &dyn Disk, directory: &Path) -> io::Result<()> {
    put_prepared(disk, &directory.join(PAGES_FILE))
}

/// Removes the file of a directory, durably, if there is one.
///
/// # Errors
///
/// Fails if the system cannot remove it.
pub fn remove(disk: &dyn Disk, directory: &Path) -> io::Result<()> {
    let path = directory.join(PAGES_FILE);
    match found(disk.remove(&path))? {
        Some(()) => disk.sync_directory(parent_of(&path)),
        None => Ok(()),
    }
}

/// Appends slots to a file.
struct PagesWriter<'a> {
    file: &'a mut dyn DiskFile,
    hasher: blake3::Hasher,
    part: Vec<u8>,
}

impl<'a> PagesWriter<'a> {
    fn new(file: &'a mut dyn DiskFile, of: &PagesOf) -> Self {
        Self {
            file,
            hasher: blake3::Hasher::new_keyed(FRAME.key()),
            part: of.encode(),
        }
    }

    fn push(&mut self, slot: &SlotPages) -> io::Result<()> {
        slot.put(&mut self.part);
        match self.part.len() >= PART_BYTES {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hasher.update(&self.part);
        self.file.append(&self.part)?;
        self.part.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.file.append(self.hasher.finalize().as_bytes())
    }
}

/// The file of a directory, with a correct checksum.
pub struct PagesFile {
    of: PagesOf,
    bytes: u64,
    fields: BufReader<Fields>,
}

/// The bytes of a file up to a length.
struct Fields {
    reader: Box<dyn DiskReader>,
    next: u64,
    end: u64,
}

impl Read for Fields {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (self.end - self.next).min(buffer.len() as u64);
        let part = &mut buffer[..count as usize];
        self.reader.read_exact_at(self.next, part)?;
        self.next += count;
        Ok(part.len())
    }
}

impl Fields {
    /// Reads everything once, and returns whether the checksum is correct.
    fn are_sound(&mut self) -> io::Result<bool> {
        let mut hasher = blake3::Hasher::new_keyed(FRAME.key());
        let mut part = vec![0; PART_BYTES];
        loop {
            match self.read(&mut part)? {
                0 => break,
                count => hasher.update(&part[..count]),
            };
        }
        let mut checksum = [0; CHECKSUM_BYTES as usize];
        self.reader.read_exact_at(self.end, &mut checksum)?;
        self.next = 0;
        Ok(hasher.finalize() == checksum)
    }
}

impl PagesFile {
    /// Opens the file of a directory, if there is one, and checks its checksum: reads it once.
    ///
    /// ```
    /// use std::path::Path;
    /// use trunkline_core::store::{pages_file::PagesFile, simulated::SimulatedDisk};
    /// assert!(PagesFile::open(&SimulatedDisk::new(1), Path::new(""))?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, or is damaged.
    pub fn open(
        disk: &dyn Disk,
        directory: &Path,
    ) -> Result<Option<Self>, ReadFileError<PagesFileError>> {
        let path = directory.join(PAGES_FILE);
        let io = |source| ReadFileError::Io {
            path: path.clone(),
            source,
        };
        let Some(reader) = found(disk.open(&path)).map_err(io)? else {
            return Ok(None);
        };
        let opened = Self::read(reader).map_err(io)?;
        opened
            .map(Some)
            .map_err(|source| ReadFileError::Content { path, source })
    }

    fn read(mut reader: Box<dyn DiskReader>) -> io::Result<Result<Self, PagesFileError>> {
        let bytes = reader.length()?;
        let mut header = vec![0; bytes.min(HEADER_BYTES) as usize];
        reader.read_exact_at(0, &mut header)?;
        let end = bytes.saturating_sub(CHECKSUM_BYTES);
        let of = match PagesOf::decode(&header) {
            Ok(_) if end < HEADER_BYTES => return Ok(Err(PagesFileError::Damaged)),
            Ok(of) => of,
            Err(error) => return Ok(Err(error)),
        };
        let next = 0;
        let mut fields = Fields { reader, next, end };
        if !fields.are_sound()? {
            return Ok(Err(PagesFileError::Damaged));
        }
        fields.next = HEADER_BYTES;
        let fields = BufReader::with_capacity(PART_BYTES, fields);
        Ok(Ok(Self { of, bytes, fields }))
    }

    /// Returns the state of the pages.
    pub fn of(&self) -> &PagesOf {
        &self.of
    }

    /// Returns the length of the file, bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Passes the pages of each slot, from 0 to 127, until `take` fails.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, if its pages do not fill the slots, or if `take` does.
    pub fn slots<E: From<ReadFileError<PagesFileError>>>(
        mut self,
        directory: &Path,
        mut take: impl FnMut(usize, SlotPages) -> Result<(), E>,
    ) -> Result<(), E> {
        let path = directory.join(PAGES_FILE);
        for slot in 0..WIDTH {
            let read = SlotPages::read(&mut self.fields);
            let pages = read.map_err(|source| unreadable(&path, source))?;
            take(slot, pages)?;
        }
        let mut rest = [0; 1];
        match self.fields.read(&mut rest) {
            Ok(0) => Ok(()),
            Ok(_) => Err(unreadable(&path, invalid()).into()),
            Err(source) => Err(unreadable(&path, source).into()),
        }
    }
}

/// Returns the error of a file whose checksum was correct.
fn unreadable(path: &Path, source: io::Error) -> ReadFileError<PagesFileError> {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => ReadFileError::Content {
            path,
            source: PagesFileError::Damaged,
        },
        _ => ReadFileError::Io { path, source },
    }
}

/// Returns the bytes of a file.
///
/// Layout, integers little-endian: magic `trunkpgs`, format u16, tree id 32, version u64, commit id 32; then for each slot:
/// levels of its directory u8, levels above its pages u8, and its pages in path order: levels above the others u8, leaves as
/// shortest LEB128, digest 32 unless there are none; checksum 32 (over all before it).
pub fn encode(of: &PagesOf, slots: &[SlotPages]) -> Vec<u8> {
    let mut bytes = of.encode();
    slots.iter().for_each(|slot| slot.put(&mut bytes));
    let checksum = FRAME.hash(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

/// Reads the result of [`encode`] for 128 slots; anything else is an error.
pub fn decode(bytes: &[u8]) -> Result<(PagesOf, Vec<SlotPages>), PagesFileError> {
    use PagesFileError::Damaged;
    let of = PagesOf::decode(bytes)?;
    let (body, checksum) = bytes.split_last_chunk::<32>().ok_or(Damaged)?;
    let mut fields = body.get(HEADER_BYTES as usize..).ok_or(Damaged)?;
    if FRAME.hash(body) != *checksum {
        return Err(Damaged);
    }
    let slots = (0..WIDTH).map(|_| SlotPages::read(&mut fields));
    let slots = slots.collect::<io::Result<Vec<_>>>().map_err(|_| Damaged)?;
    match fields.is_empty() {
        true => Ok((of, slots)),
        false => Err(Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hex;
    use crate::store::disk::read_file;
    use crate::store::simulated::SimulatedDisk;

    const OF: PagesOf = PagesOf {
        tree_id: [7; 32],
        version: 258,
        commit_id: [8; 32],
    };

    fn page(levels_above: u8, leaves: u32) -> StoredPage {
        StoredPage {
            levels_above,
            leaves,
            digest: [9; 32],
        }
    }

    fn empty() -> SlotPages {
        SlotPages {
            bits: 0,
            level: 0,
            pages: vec![StoredPage::default()],
        }
    }

    /// A slot of 256 places: the first two are one page, and one page has no leaves.
    fn deep() -> SlotPages {
        let mut pages = vec![page(1, 300), StoredPage::default()];
        pages.extend((3..256).map(|_| page(0, 1)));
        SlotPages {
            bits: 12,
            level: 8,
            pages,
        }
    }

    fn slots() -> Vec<SlotPages> {
        let mut slots = vec![empty(); WIDTH];
        slots[1] = SlotPages {
            bits: 1,
            level: 1,
            pages: vec![page(0, 2), StoredPage::default()],
        };
        slots[127] = deep();
        slots
    }

    #[test]
    fn the_bytes_of_the_file_are_fixed() {
        let bytes = encode(&OF, &slots());
        let digest = "09".repeat(32);
        let body = [
            &hex(b"trunkpgs"),
            "0200",
            &"07".repeat(32),
            "0201000000000000",
            &"08".repeat(32),
            "00000000",
            &format!("01010002{digest}0000"),
            &"00000000".repeat(125),
            &format!("0c0801ac02{digest}0000"),
            &format!("0001{digest}").repeat(253),
        ];
        let (head, checksum) = bytes.split_last_chunk::<32>().unwrap();
        assert_eq!(hex(head), body.concat());
        assert_eq!(*checksum, FRAME.hash(head));
        assert_eq!(decode(&bytes), Ok((OF, slots())));
    }

    #[test]
    fn other_bytes_are_refused() {
        let bytes = encode(&OF, &slots());
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err());
        }
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert!(decode(&changed).is_err());
        }
        let changed = |change: fn(&mut SlotPages)| {
            let mut slots = slots();
            change(&mut slots[127]);
            decode(&encode(&OF, &slots))
        };
        assert!(changed(|_| {}).is_ok());
        let refused: [fn(&mut SlotPages); 9] = [
            |slot| slot.bits = 50,
            |slot| slot.level = 13,
            |slot| slot.pages[0].levels_above = 2,
            |slot| slot.pages[0].levels_above = 64,
            |slot| slot.pages[0].digest = ZERO,
            |slot| slot.pages.swap(0, 1),
            |slot| slot.pages[3].levels_above = 1,
            |slot| slot.pages.truncate(200),
            |slot| slot.pages.push(page(0, 1)),
        ];
        for change in refused {
            assert_eq!(changed(change), Err(PagesFileError::Damaged));
        }
        // The number of leaves is not in its shortest form, or too large.
        for leaves in [
            &b"\x80\0"[..],
            b"\xff\xff\xff\xff\x1f",
            b"\x80\x80\x80\x80\x80\x01",
        ] {
            let slot = [&[0, 0, 0], leaves, &[9; 32]].concat();
            assert!(SlotPages::read(&mut &slot[..]).is_err());
        }
    }

    #[test]
    fn a_directory_with_far_more_places_than_leaves_is_not_stored() {
        let sparse = SlotPages {
            pages: vec![StoredPage::default(); 256],
            ..deep()
        };
        assert!(!sparse.can_be_stored() && deep().can_be_stored());
        let mut slots = slots();
        slots[5] = sparse.clone();
        assert_eq!(decode(&encode(&OF, &slots)), Err(PagesFileError::Damaged));
        let (disk, here) = (SimulatedDisk::new(1), Path::new(""));
        let written = prepare(&disk, here, &OF, |_| Some(sparse.clone()));
        assert!(!written.unwrap());
    }

    #[test]
    fn what_is_written_part_by_part_is_read_part_by_part() {
        let (disk, here) = (SimulatedDisk::new(1), Path::new(""));
        let slots = slots();
        assert!(
            !prepare(&disk, here, &OF, |slot| slots
                .get(slot % 99)
                .cloned()
                .filter(|_| slot < 98))
            .unwrap()
        );
        assert!(prepare(&disk, here, &OF, |slot| slots.get(slot).cloned()).unwrap());
        assert!(PagesFile::open(&disk, here).unwrap().is_none());
        put_in_place(&disk, here).unwrap();
        let bytes = read_file(&disk, Path::new(PAGES_FILE), 1 << 20).unwrap();
        assert_eq!(bytes, encode(&OF, &slots));
        let file = PagesFile::open(&disk, here).unwrap().unwrap();
        assert_eq!((file.of(), file.bytes()), (&OF, bytes.len() as u64));
        let mut read = Vec::new();
        let taken = file.slots(here, |slot, pages| {
            assert_eq!(slot, read.len());
            read.push(pages);
            Ok::<_, ReadFileError<PagesFileError>>(())
        });
        assert!(taken.is_ok());
        assert_eq!(read, slots);
        remove(&disk, here).unwrap();
        remove(&disk, here).unwrap();
        assert!(PagesFile::open(&disk, here).unwrap().is_none());
    }

    #[test]
    fn a_file_with_any_byte_changed_or_missing_is_refused() {
        let bytes = encode(&OF, &slots());
        let refused = |bytes: &[u8]| {
            let (disk, here) = (SimulatedDisk::new(1), Path::new(""));
            let mut file = disk.create(Path::new(PAGES_FILE)).unwrap();
            file.append(bytes).unwrap();
            matches!(
                PagesFile::open(&disk, here),
                Err(ReadFileError::Content { .. })
            )
        };
        assert!(!refused(&bytes));
        for place in (0..bytes.len()).step_by(7).chain(0..200) {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert!(refused(&changed) && refused(&bytes[..place]));
        }
    }
}
