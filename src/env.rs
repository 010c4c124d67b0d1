//! The name of every environment variable the program reads; `cli` alone reads them, once.

/// Makes the constants and [`ALL`], from which the reference page is generated, out of one list.
macro_rules! variables {
    ($($(#[doc = $doc:literal])+ $constant:ident = $name:literal;)+) => {
        $($(#[doc = $doc])+ pub const $constant: &str = $name;)+

        /// Every variable with its description, in the order of the documentation.
        pub const ALL: &[(&str, &str)] = &[$(($name, concat!($($doc),+))),+];
    };
}

variables! {
    /// The environment of `ship.toml` to use, as `--environment`.
    ECS_SHIP_ENVIRONMENT = "ECS_SHIP_ENVIRONMENT";
    /// The file to read instead of the nearest `ship.toml`, as `--file`.
    ECS_SHIP_FILE = "ECS_SHIP_FILE";
    /// How progress is shown, as `--progress`; it wins over `BUILDKIT_PROGRESS`.
    ECS_SHIP_PROGRESS = "ECS_SHIP_PROGRESS";
    /// Non-empty: act without asking, as `--yes`.
    ECS_SHIP_YES = "ECS_SHIP_YES";
    /// The AWS region, as `--region`; it wins over the AWS variables below.
    ECS_SHIP_REGION = "ECS_SHIP_REGION";
    /// The AWS profile, as `--profile`; it wins over `AWS_PROFILE`.
    ECS_SHIP_PROFILE = "ECS_SHIP_PROFILE";
    /// Where ECR tokens are kept, as `credentials.store` in the settings; it wins over that.
    ECS_SHIP_CREDENTIAL_STORE = "ECS_SHIP_CREDENTIAL_STORE";
    /// The folder of the sandbox's state and logs and of the ECR tokens, instead of the platform's own.
    ECS_SHIP_STATE_DIR = "ECS_SHIP_STATE_DIR";
    /// Set by our `docker` shim for itself: the shims already passed on the way to the real `docker`.
    ECS_SHIP_SHIMS_PASSED = "ECS_SHIP_SHIMS_PASSED";
    /// The socket of the ssh agent that `ssh = ["default"]` of an image lends to its build.
    SSH_AUTH_SOCK = "SSH_AUTH_SOCK";
    /// The AWS region, as the SDK reads it.
    AWS_REGION = "AWS_REGION";
    /// The AWS region where `AWS_REGION` is not set.
    AWS_DEFAULT_REGION = "AWS_DEFAULT_REGION";
    /// The profile of `~/.aws/config`, as the SDK reads it.
    AWS_PROFILE = "AWS_PROFILE";
    /// Another endpoint for every AWS service, as the SDK reads it.
    AWS_ENDPOINT_URL = "AWS_ENDPOINT_URL";
    /// Another endpoint for ECR, as the SDK reads it.
    AWS_ENDPOINT_URL_ECR = "AWS_ENDPOINT_URL_ECR";
    /// `true`: the two above and those of the profile do not count, as the SDK reads it.
    AWS_IGNORE_CONFIGURED_ENDPOINT_URLS = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS";
    /// `true`: the FIPS endpoints, as the SDK reads it.
    AWS_USE_FIPS_ENDPOINT = "AWS_USE_FIPS_ENDPOINT";
    /// `true`: the dual-stack endpoints, as the SDK reads it.
    AWS_USE_DUALSTACK_ENDPOINT = "AWS_USE_DUALSTACK_ENDPOINT";
    /// An access key, as the SDK reads it; here it only tells whose cached token to take.
    AWS_ACCESS_KEY_ID = "AWS_ACCESS_KEY_ID";
    /// The file of profiles, instead of `~/.aws/config`, as the SDK reads it.
    AWS_CONFIG_FILE = "AWS_CONFIG_FILE";
    /// The file of access keys, instead of `~/.aws/credentials`, as the SDK reads it.
    AWS_SHARED_CREDENTIALS_FILE = "AWS_SHARED_CREDENTIALS_FILE";
    /// The role to take on by web identity, as the SDK reads it.
    AWS_ROLE_ARN = "AWS_ROLE_ARN";
    /// The name of the session in a role that is taken on. Default: `docker-ecs-ship-` and the user's name.
    AWS_ROLE_SESSION_NAME = "AWS_ROLE_SESSION_NAME";
    /// The file of the web identity's token, as the SDK reads it.
    AWS_WEB_IDENTITY_TOKEN_FILE = "AWS_WEB_IDENTITY_TOKEN_FILE";
    /// Where a container gets its credentials, as the SDK reads it.
    AWS_CONTAINER_CREDENTIALS_FULL_URI = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    /// The same on ECS, as the SDK reads it.
    AWS_CONTAINER_CREDENTIALS_RELATIVE_URI = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
    /// A PEM file of the certificates to trust, instead of the system's.
    AWS_CA_BUNDLE = "AWS_CA_BUNDLE";
    /// The engine's address; it wins over `DOCKER_CONTEXT`.
    DOCKER_HOST = "DOCKER_HOST";
    /// The docker context to take the engine from.
    DOCKER_CONTEXT = "DOCKER_CONTEXT";
    /// Docker's configuration folder, instead of `~/.docker`.
    DOCKER_CONFIG = "DOCKER_CONFIG";
    /// The folder of `ca.pem`, `cert.pem` and `key.pem` for the engine.
    DOCKER_CERT_PATH = "DOCKER_CERT_PATH";
    /// Non-empty: talk TLS to the engine.
    DOCKER_TLS = "DOCKER_TLS";
    /// Non-empty: talk TLS to the engine and verify it.
    DOCKER_TLS_VERIFY = "DOCKER_TLS_VERIFY";
    /// The engine API version to speak, without negotiation.
    DOCKER_API_VERSION = "DOCKER_API_VERSION";
    /// Headers for every request to the engine, instead of those in docker's configuration file.
    DOCKER_CUSTOM_HEADERS = "DOCKER_CUSTOM_HEADERS";
    /// Registry logins as JSON; they win over docker's configuration file.
    DOCKER_AUTH_CONFIG = "DOCKER_AUTH_CONFIG";
    /// Set by the Docker CLI for a plugin: how docker itself was called.
    DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND = "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND";
    /// Set by the Docker CLI for a plugin: a socket that closes when the command is to end.
    DOCKER_CLI_PLUGIN_SOCKET = "DOCKER_CLI_PLUGIN_SOCKET";
    /// Set for a plugin: reach the engine through `docker system dial-stdio`.
    DOCKER_CLI_PLUGIN_USE_DIAL_STDIO = "DOCKER_CLI_PLUGIN_USE_DIAL_STDIO";
    /// Non-empty: shell completion without descriptions.
    DOCKER_CLI_DISABLE_COMPLETION_DESCRIPTION = "DOCKER_CLI_DISABLE_COMPLETION_DESCRIPTION";
    /// `false`: shell completion without descriptions.
    DOCKER_COMPLETION_DESCRIPTIONS = "DOCKER_COMPLETION_DESCRIPTIONS";
    /// `false`: shell completion without descriptions, for every program built on cobra.
    COBRA_COMPLETION_DESCRIPTIONS = "COBRA_COMPLETION_DESCRIPTIONS";
    /// How progress is shown, shared with `docker build`; used when nothing of ours says it.
    BUILDKIT_PROGRESS = "BUILDKIT_PROGRESS";
    /// Non-empty: no colour.
    NO_COLOR = "NO_COLOR";
    /// `dumb`: a terminal that cannot be redrawn, so nothing is.
    TERM = "TERM";
    /// Set by CI systems, some of which give a job a terminal that nobody looks at: nothing is redrawn.
    CI = "CI";
    /// The locale; the output keeps to ASCII where it is not UTF-8.
    LC_ALL = "LC_ALL";
    /// The locale of characters where `LC_ALL` is not set.
    LC_CTYPE = "LC_CTYPE";
    /// The locale where neither of the above is set.
    LANG = "LANG";
    /// Where programs are looked for.
    PATH = "PATH";
    /// The home folder, as the AWS SDK looks for it.
    HOME = "HOME";
    /// The same on Windows.
    USERPROFILE = "USERPROFILE";
    /// The user's name, for the name of a session in a role.
    USER = "USER";
    /// The same on Windows.
    USERNAME = "USERNAME";
    /// The login shell, for the hint that `install` prints.
    SHELL = "SHELL";
    /// The folder of user state, instead of `~/.local/state`.
    XDG_STATE_HOME = "XDG_STATE_HOME";
    /// The folder of user data, instead of `~/.local/share`.
    XDG_DATA_HOME = "XDG_DATA_HOME";
    /// The folder of user configuration, instead of `~/.config`.
    XDG_CONFIG_HOME = "XDG_CONFIG_HOME";
    /// The session's D-Bus, on which a Linux desktop has its keyring.
    DBUS_SESSION_BUS_ADDRESS = "DBUS_SESSION_BUS_ADDRESS";
    /// The folder of a Linux session, where its D-Bus is when the variable above does not say.
    XDG_RUNTIME_DIR = "XDG_RUNTIME_DIR";
    /// The folder of an application's own data on Windows.
    LOCALAPPDATA = "LOCALAPPDATA";
    /// The folder of installed programs on Windows.
    PROGRAMFILES = "ProgramFiles";
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::ALL;

    #[test]
    fn every_variable_is_listed_once_and_described() {
        let names: BTreeSet<_> = ALL.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|(_, description)| description.trim().ends_with('.')));
    }

    /// A page of variables that nothing looks at would be worse than none.
    #[test]
    fn every_variable_is_read_somewhere() {
        fn sources(folder: &Path, text: &mut String) {
            for entry in fs::read_dir(folder).expect("a folder of sources") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    sources(&path, text);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    text.push_str(&fs::read_to_string(&path).expect("a source"));
                }
            }
        }
        let mut text = String::new();
        sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut text);
        for (name, description) in ALL {
            let constant = format!("env::{}", name.to_uppercase());
            let read = text.match_indices(&constant).any(|(at, _)| {
                !text[at + constant.len()..].starts_with(|next: char| next == '_' || next.is_ascii_alphanumeric())
            });
            assert!(read, "nothing reads {name}: {description}");
        }
    }
}
