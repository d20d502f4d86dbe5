//! Images without a registry: programs of this machine, each in an image of its own.
//!
//! Where upstream's images cannot be had, the distribution's packages can: what they installed is copied into an empty
//! image with the libraries that it loads, in seconds and without another mirror. The tags begin with
//! `rehearse.invalid/`, a name that no registry can have (RFC 2606), so that nobody mistakes them for upstream's and
//! nothing can be pulled or pushed by accident.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use bollard::query_parameters::BuildImageOptionsBuilder;
use futures_util::StreamExt;

use crate::docker::{Daemon, DockerError};
use crate::recipes;

/// Where a built image keeps what it is.
const LABEL_VERSION: &str = "dev.rehearse.version";

/// An image that is built here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Image {
    /// The gateway.
    Nginx,
    /// The database and its standby.
    Postgres,
    /// The cache.
    Redis,
    /// Every other service.
    MockService,
    /// Who sends the load, where that does not come from this machine: this program.
    Driver,
}

/// Why an image cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The program is not on this machine.
    #[error("{} is not installed here, and its image is made of what is: install it (Debian: `apt-get install {}`)", .0.name(), .0.package())]
    NotInstalled(Image),
    /// A program of that name which does not say its version is another program.
    #[error("{} was found for the image of {}, and does not say its version: put the right one first on PATH", .path.display(), .image.name())]
    Another {
        /// The image it was for.
        image: Image,
        /// What was found.
        path: PathBuf,
    },
    /// `mock-service` is nowhere.
    #[error(
        "the program mock-service is neither beside rehearse nor on PATH: build it (`cargo build --workspace --bins`), or \
         name it with --mock-service FILE"
    )]
    NoMockService,
    /// A file cannot be read, or the daemon refuses.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// The daemon could not build it.
    #[error("the image of {} cannot be built: {why}", .image.name())]
    Build {
        /// Which.
        image: Image,
        /// What the daemon says.
        why: String,
    },
}

impl Image {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Nginx, Self::Postgres, Self::Redis, Self::MockService, Self::Driver];

    /// Its name, as `rehearse images build NAME` knows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::MockService => "mock-service",
            Self::Driver => "driver",
        }
    }

    /// Debian's package that has what it is made of.
    pub const fn package(self) -> &'static str {
        match self {
            Self::Nginx => "nginx-light",
            Self::Postgres => "postgresql-15",
            Self::Redis => "redis-server",
            Self::MockService | Self::Driver => "rehearse",
        }
    }

    /// Its repository, without the tag.
    pub fn repository(self) -> String {
        format!("rehearse.invalid/{}", self.name())
    }

    /// Name and tag.
    pub fn tag(self) -> String {
        format!("{}:{TAG}", self.repository())
    }
}

/// The tag of all of them.
pub const TAG: &str = "stand-in";

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An image that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// Which.
    pub image: Image,
    /// The version of the program in it.
    pub version: String,
    /// Bytes.
    pub size: u64,
}

/// Builds an image from what is installed here. `mock_service`: that program, where it is not beside this one.
pub async fn build(daemon: &Daemon, image: Image, mock_service: Option<&Path>) -> Result<Built, ImageError> {
    let recipe = recipes::recipe(image, mock_service)?;
    let dockerfile =
        format!("FROM scratch\nADD root.tar /\nLABEL {LABEL_VERSION}=\"{}\"\n{}", recipe.version, recipe.dockerfile);
    let (root, mut context) = (recipe.root.tar()?, tar::Builder::new(Vec::new()));
    for (name, bytes) in [("Dockerfile", dockerfile.as_bytes()), ("root.tar", &root)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        context.append_data(&mut header, name, bytes).map_err(DockerError::file(Path::new(name)))?;
    }
    let context = context.into_inner().map_err(DockerError::file(Path::new("Dockerfile")))?;
    let labels = HashMap::from([("dev.rehearse.image", image.name())]);
    let options =
        BuildImageOptionsBuilder::default().dockerfile("Dockerfile").t(&image.tag()).rm(true).labels(&labels).build();
    let mut building = daemon.docker.build_image(options, None, Some(bollard::body_full(context.into())));
    while let Some(step) = building.next().await {
        let step = step.map_err(DockerError::doing(format!("build {}", image.tag())))?;
        if let Some(error) = step.error_detail {
            return Err(ImageError::Build { image, why: error.message.unwrap_or_default() });
        }
    }
    let built = find(daemon, image).await?;
    built.ok_or_else(|| ImageError::Build { image, why: "the daemon built it and does not have it".to_owned() })
}

/// An image, if it is here.
pub async fn find(daemon: &Daemon, image: Image) -> Result<Option<Built>, DockerError> {
    match daemon.docker.inspect_image(&image.tag()).await {
        Ok(inspected) => {
            let labels = inspected.config.and_then(|config| config.labels).unwrap_or_default();
            let version = labels.get(LABEL_VERSION).cloned().unwrap_or_default();
            Ok(Some(Built { image, version, size: inspected.size.unwrap_or(0).try_into().unwrap_or(0) }))
        }
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
        Err(error) => Err(DockerError::doing(format!("look for {}", image.tag()))(error)),
    }
}

/// Whether the daemon has an image by this name, such as a manifest's own.
pub(crate) async fn has(daemon: &Daemon, name: &str) -> bool {
    daemon.docker.inspect_image(name).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tag_can_be_mistaken_for_one_of_a_registry() {
        for image in Image::ALL {
            let tag = image.tag();
            let (host, _) = tag.split_once('/').unwrap();
            assert!(host.ends_with(".invalid") && tag.ends_with(":stand-in"), "{tag}");
        }
    }

    #[test]
    fn what_is_missing_is_told_with_its_package() {
        let error = ImageError::NotInstalled(Image::Postgres).to_string();
        assert!(error.contains("apt-get install postgresql-15"), "{error}");
        assert!(ImageError::NoMockService.to_string().contains("--mock-service"));
    }
}
