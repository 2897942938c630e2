//! The node's secret key: made once, kept in a file outside the database, so that a copied database is not a copied node.
//! Deliberately not here: certificates and TLS (`transport`), and the incarnation, which lives in the database.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use ed25519_dalek::{Signer, SigningKey};
use rowmesh_core::ident::NodeId;
use zeroize::Zeroizing;

/// Name of the file that holds the key.
pub const KEY_FILE: &str = "node.key";

/// An Ed25519 secret key. Whoever holds it *is* the node, so it shows itself to nobody: `Debug` writes the node's name only.
pub struct NodeKey {
    signing: SigningKey,
    public_key: [u8; 32],
}

/// Why the node has no key.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file system said no.
    #[error("{doing} {}", path.display())]
    File {
        /// What was tried: "read node key".
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The key file can be read or written by others, so it may be known to others.
    #[error("node key {} is open to other users (mode {mode:04o}): close it with `chmod 600`, or make a new node if others may have read it", path.display())]
    KeyOpenToOthers {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The folder can be written by others, so they could put another key in the place of ours.
    #[error("folder {} of the node key can be written by other users (mode {mode:04o}): close it with `chmod 700`", path.display())]
    FolderOpenToOthers {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is there but is not a whole key. A new one is never made in its place: that would be another node.
    #[error("node key {} is damaged ({what}): put it back from a backup; without it this node has to join anew", path.display())]
    Damaged {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it; never any of its content.
        what: &'static str,
    },
    /// The operating system gave no random numbers.
    #[error("get random bytes for a new node key")]
    Random(#[source] getrandom::Error),
}

impl NodeKey {
    /// Reads the key in `dir`, or makes folder (0700) and key (0600) if there is none yet. Several processes may call it at
    /// once on one folder: all get the same key.
    ///
    /// # Errors
    /// See [`IdentityError`]; a key that is damaged or open to others is refused, never replaced.
    pub fn load_or_create(dir: &Path) -> Result<NodeKey, IdentityError> {
        create_folder(dir)?;
        refuse_open_folder(dir)?;
        let path = dir.join(KEY_FILE);
        match read(&path)? {
            Some(key) => Ok(key),
            None => create(dir, &path),
        }
    }

    /// A key that is kept nowhere.
    ///
    /// # Errors
    /// If the operating system gives no random numbers.
    pub fn generate() -> Result<NodeKey, IdentityError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(IdentityError::Random)?;
        Ok(NodeKey::from_seed(&seed))
    }

    /// The key that belongs to a 32-byte Ed25519 seed.
    pub fn from_seed(seed: &[u8; 32]) -> NodeKey {
        let signing = SigningKey::from_bytes(seed);
        let public_key = signing.verifying_key().to_bytes();
        NodeKey { signing, public_key }
    }

    /// The node's name.
    pub fn node_id(&self) -> NodeId {
        NodeId::of_public_key(&self.public_key)
    }

    /// The half of the key that everybody may know.
    pub fn public_key(&self) -> [u8; 32] {
        self.public_key
    }

    /// An Ed25519 signature over `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signing.sign(message).to_bytes()
    }

    /// A secret of this node for one purpose (a salt, say): the same at every start, different for every label, and no way
    /// back from it to the key.
    pub fn derive(&self, label: &str) -> [u8; 32] {
        blake3::derive_key(&format!("rowmesh node key v1 {label}"), self.signing.as_bytes())
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({:?})", self.node_id())
    }
}

/// `None` if there is no such file.
fn read(path: &Path) -> Result<Option<NodeKey>, IdentityError> {
    let failed = |source| IdentityError::File { doing: "read node key", path: path.into(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(absent) if absent.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(source)),
    };
    let mode = mode_of(&file.metadata().map_err(failed)?);
    if mode & 0o077 != 0 {
        return Err(IdentityError::KeyOpenToOthers { path: path.into(), mode });
    }
    let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX));
    file.take(FILE_BYTES_MAX as u64).read_to_end(&mut text).map_err(failed)?;
    decode(&text).map(Some).map_err(|what| IdentityError::Damaged { path: path.into(), what })
}

/// Makes the key under another name and links it in when it is durable: at no moment is there half a key, and of two
/// processes that do this at once one finds the other's key, where a rename would replace it.
fn create(dir: &Path, path: &Path) -> Result<NodeKey, IdentityError> {
    let failed = |source| IdentityError::File { doing: "write node key", path: path.into(), source };
    let key = NodeKey::generate()?;
    let draft = Draft(dir.join(format!("{KEY_FILE}.{}.new", HEXLOWER.encode(&key.public_key[..8]))));
    write_durably(&draft.0, &encode(&key)).map_err(failed)?;
    match fs::hard_link(&draft.0, path) {
        Ok(()) => {}
        Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => {
            return read(path)?.ok_or_else(|| failed(taken));
        }
        Err(source) => return Err(failed(source)),
    }
    drop(draft);
    sync_folder(dir).map_err(failed)?;
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync_folder(parent).map_err(failed)?;
    }
    Ok(key)
}

/// A file that goes when it is no longer needed, also on the way out of an error.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        // What cannot be removed is a key that nobody has ever used.
        let _ = fs::remove_file(&self.0);
    }
}

const HEADER: &str = "rowmesh node key v1, keep secret";
/// More than a key file has, less than would matter.
const FILE_BYTES_MAX: usize = 512;

/// The public key is written beside the secret one as its check: a single wrong letter would be another node.
fn encode(key: &NodeKey) -> Zeroizing<String> {
    let secret = Zeroizing::new(HEXLOWER.encode(key.signing.as_bytes()));
    Zeroizing::new(format!("{HEADER}\nsecret {}\npublic {}\n", *secret, HEXLOWER.encode(&key.public_key)))
}

fn decode(text: &[u8]) -> Result<NodeKey, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    let text = std::str::from_utf8(text).map_err(|_| "it is not text")?;
    let lines: Vec<&str> = text.lines().collect();
    let [header, secret, public] = lines[..] else { return Err("it has not three lines") };
    if header != HEADER {
        return Err("its first line is not that of a node key");
    }
    let seed = Zeroizing::new(decode_hex(secret, "secret ").ok_or("its secret is not 64 hexadecimal letters")?);
    let public = decode_hex(public, "public ").ok_or("its public key is not 64 hexadecimal letters")?;
    let key = NodeKey::from_seed(&seed);
    if key.public_key == public { Ok(key) } else { Err("its secret and its public key do not belong together") }
}

fn decode_hex(line: &str, name: &str) -> Option<[u8; 32]> {
    let letters = line.strip_prefix(name)?.as_bytes();
    let mut bytes = [0; 32];
    if letters.len() != 64 {
        return None;
    }
    HEXLOWER.decode_mut(letters, &mut bytes).ok()?;
    Some(bytes)
}

fn create_folder(dir: &Path) -> Result<(), IdentityError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|source| IdentityError::File { doing: "create folder", path: dir.into(), source })
}

fn refuse_open_folder(dir: &Path) -> Result<(), IdentityError> {
    let failed = |source| IdentityError::File { doing: "look at folder", path: dir.into(), source };
    let mode = mode_of(&fs::metadata(dir).map_err(failed)?);
    if mode & 0o022 == 0 { Ok(()) } else { Err(IdentityError::FolderOpenToOthers { path: dir.into(), mode }) }
}

fn write_durably(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(unix)]
fn mode_of(metadata: &fs::Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777
}

/// Where there are no such bits the folder's own access rules have to do.
#[cfg(not(unix))]
fn mode_of(_: &fs::Metadata) -> u32 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_at_the_second_start() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("a/b");
        let first = NodeKey::load_or_create(&home).unwrap();
        let second = NodeKey::load_or_create(&home).unwrap();
        assert_eq!(first.node_id(), second.node_id());
        assert_eq!(first.derive("salt"), second.derive("salt"));
        assert_ne!(first.derive("salt"), first.derive("pepper"));
        assert_eq!(names_in(&home), [KEY_FILE]);
    }

    #[test]
    fn signatures_verify_under_the_public_key() {
        let key = NodeKey::from_seed(&[3; 32]);
        let public = ed25519_dalek::VerifyingKey::from_bytes(&key.public_key()).unwrap();
        let signature = ed25519_dalek::Signature::from_bytes(&key.sign(b"batch"));
        assert!(public.verify_strict(b"batch", &signature).is_ok());
        assert!(public.verify_strict(b"botch", &signature).is_err());
    }

    #[test]
    fn many_starts_at_once_agree_on_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let ids: Vec<NodeId> = std::thread::scope(|scope| {
            let starts: Vec<_> =
                (0..8).map(|_| scope.spawn(|| NodeKey::load_or_create(&home).unwrap().node_id())).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(names_in(&home), [KEY_FILE]);
    }

    #[cfg(unix)]
    #[test]
    fn s66_key_and_folder_are_closed_to_others_and_an_open_one_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let chmod = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        NodeKey::load_or_create(&home).unwrap();
        let key = home.join(KEY_FILE);
        assert_eq!((mode(&home), mode(&key)), (0o700, 0o600));
        for open in [0o640, 0o604, 0o660, 0o644] {
            chmod(&key, open);
            let refused = NodeKey::load_or_create(&home).unwrap_err();
            assert!(matches!(refused, IdentityError::KeyOpenToOthers { mode, .. } if mode == open), "{refused}");
        }
        chmod(&key, 0o400);
        NodeKey::load_or_create(&home).unwrap();
        chmod(&home, 0o770);
        let refused = NodeKey::load_or_create(&home).unwrap_err();
        assert!(matches!(refused, IdentityError::FolderOpenToOthers { .. }), "{refused}");
    }

    #[test]
    fn a_damaged_key_is_an_error_and_never_a_new_key() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        NodeKey::load_or_create(&home).unwrap();
        let path = home.join(KEY_FILE);
        let whole = fs::read(&path).unwrap();
        let mut damages: Vec<Vec<u8>> = (0..whole.len() - 1).map(|end| whole[..end].to_vec()).collect();
        damages.extend((0..whole.len() - 1).map(|at| {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            flipped
        }));
        damages.push([&whole[..], b"more\n"].concat());
        damages.push(vec![b'a'; 1 << 20]);
        for damage in damages {
            fs::write(&path, &damage).unwrap();
            let refused = NodeKey::load_or_create(&home);
            assert!(matches!(refused, Err(IdentityError::Damaged { .. })), "{}", String::from_utf8_lossy(&damage));
            assert_eq!(fs::read(&path).unwrap(), damage, "the damaged key was overwritten");
        }
    }

    #[test]
    fn s67_neither_debug_nor_errors_show_the_secret() {
        let key = NodeKey::from_seed(&[0xab; 32]);
        assert!(!format!("{key:?}").contains("abab"));
        let damaged = decode(encode(&key).replace("public", "pubiic").as_bytes()).unwrap_err();
        assert!(!damaged.contains("abab"));
    }

    fn names_in(dir: &Path) -> Vec<String> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}
