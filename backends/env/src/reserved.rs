//! The variables that hold keys and credentials of Strongroom and of its backends' libraries.

/// How their names begin. Whole families, since libraries learn new variables.
const FAMILIES: [&str; 18] = [
    "ACTIONS_ID_TOKEN_",
    "ACTIONS_RUNTIME_",
    "ARM_",
    "AWS_",
    "AZURE_",
    "BAO_",
    "CLOUDSDK_",
    "GCE_",
    "GCLOUD_",
    "GCP_",
    "GOOGLE_",
    "IDENTITY_",
    "IMDS_",
    "KUBERNETES_",
    "MSI_",
    "OPENBAO_",
    "STRONGROOM_",
    "VAULT_",
];

/// A family that a store of the variables under `prefix` would serve, in whole or in part.
pub(crate) fn family_within(prefix: &str) -> Option<&'static str> {
    FAMILIES
        .into_iter()
        .find(|family| family.starts_with(prefix) || prefix.starts_with(family))
}
