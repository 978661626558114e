use std::ffi::OsString;
use std::path::{Path, PathBuf};

const FILE: &str = "strongroom.toml";

/// Where a configuration may be.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// What `--config` names.
    pub explicit: Option<PathBuf>,
    /// What `$STRONGROOM_CONFIG` holds; empty is as if it were not set.
    pub env: Option<OsString>,
    /// The current folder.
    pub current_folder: PathBuf,
    /// The user's configuration directory, `~/.config/strongroom` on Linux.
    pub user_config_dir: Option<PathBuf>,
}

impl Places {
    /// The places of this process.
    pub fn from_process(explicit: Option<PathBuf>) -> Self {
        Self {
            explicit,
            env: std::env::var_os("STRONGROOM_CONFIG"),
            current_folder: PathBuf::from("."),
            user_config_dir: user_dir("XDG_CONFIG_HOME", ".config"),
        }
    }
}

/// `$<variable>/strongroom`, else `~/<default>/strongroom`. The base directory specification has
/// relative values ignored.
pub(super) fn user_dir(variable: &str, default: &str) -> Option<PathBuf> {
    let set = std::env::var_os(variable).map(PathBuf::from);
    let home = || std::env::home_dir().map(|home| home.join(default));
    let base = set.filter(|path| path.is_absolute()).or_else(home)?;
    base.is_absolute().then(|| base.join("strongroom"))
}

/// The configuration to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// Whether nobody named it: it merely lay in the current folder. Where it reaches out of it,
    /// it needs trust then.
    pub in_current_folder: bool,
}

/// There is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no configuration: there is none at {}; 'strongroom init' makes one, '--config' and $STRONGROOM_CONFIG name one",
    .looked.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" or ")
)]
pub struct NotFound {
    /// Where it was looked for.
    pub looked: Vec<PathBuf>,
}

/// Finds the configuration: the one that was named, else the current folder's, else the user's.
///
/// # Errors
///
/// [`NotFound`] where nothing was named and none is there. A file that was named need not exist:
/// loading it says so.
pub fn locate(places: &Places) -> Result<Found, NotFound> {
    let variable = places.env.as_ref().filter(|text| !text.is_empty());
    let named = places
        .explicit
        .clone()
        .or_else(|| variable.map(PathBuf::from));
    if let Some(path) = named {
        return Ok(Found {
            path,
            in_current_folder: false,
        });
    }
    let here = places.current_folder.join(FILE);
    if is_there(&here) {
        return Ok(Found {
            path: here,
            in_current_folder: true,
        });
    }
    let mut looked = vec![here];
    if let Some(dir) = &places.user_config_dir {
        let path = dir.join(FILE);
        if is_there(&path) {
            return Ok(Found {
                path,
                in_current_folder: false,
            });
        }
        looked.push(path);
    }
    Err(NotFound { looked })
}

/// Passing over a file that cannot be looked at would put another one in force in silence.
fn is_there(path: &Path) -> bool {
    match path.symlink_metadata() {
        Ok(_) => true,
        Err(error) => !matches!(
            error.kind(),
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
        ),
    }
}
