//! Codes that travel. Never used again for anything else.

/// The caller is not a member of this mesh.
pub const NOT_A_MEMBER: &str = "RM4105";
/// The caller was removed from this mesh.
pub const REMOVED: &str = "RM4102";
/// The invite was used, has expired or was taken back.
pub const INVITE_DEAD: &str = "RM4103";
/// No such invite.
pub const INVITE_UNKNOWN: &str = "RM4101";
/// The invite is locked after wrong attempts.
pub const INVITE_LOCKED: &str = "RM4106";
/// The two nodes belong to different meshes.
pub const OTHER_MESH: &str = "RM4107";
/// The name in the message is not that of the key on the connection.
pub const OTHER_IDENTITY: &str = "RM4108";
/// A node called itself.
pub const SELF: &str = "RM4109";
/// Two machines use one identity.
pub const TWO_LIVES: &str = "RM4110";
/// No version of the protocol in common.
pub const NO_COMMON_PROTOCOL: &str = "RM4111";
/// The body is not what the path asks for.
pub const MALFORMED: &str = "RM4112";
/// The caller's role does not allow it.
pub const NOT_ALLOWED: &str = "RM4113";
/// Not now.
pub const BUSY: &str = "RM4114";
/// No snapshot can be had here now.
pub const NO_SNAPSHOT: &str = "RM4115";
/// A clock is too far ahead.
pub const CLOCK_AHEAD: &str = "RM4301";
/// A changeset is malformed or was altered.
pub const CHANGESET_MALFORMED: &str = "RM5401";
/// A changeset was not signed by its origin.
pub const CHANGESET_FORGED: &str = "RM5402";
/// One name, two contents.
pub const EQUIVOCATION: &str = "RM5403";
/// A changeset of a removed node from after its removal.
pub const ABOVE_CUT: &str = "RM5404";
/// A changeset of a node that may only read.
pub const READ_ONLY: &str = "RM5405";
/// A changeset whose predecessor is not here.
pub const GAP: &str = "RM5201";
/// A changeset that was sealed under a roster that is not here.
pub const UNKNOWN_EPOCH: &str = "RM5202";
/// A changeset of a node that the roster does not name.
pub const UNKNOWN_ORIGIN: &str = "RM5203";
/// A changeset that refers to others which are not here.
pub const MISSING_CONTEXT: &str = "RM5204";
