//! Requests without their bodies in the client's log.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;

/// Hides the body of a signed request from the client's own log, which at level TRACE prints it
/// with the value that is written: a body that is a stream is not printed.
///
/// Give it to a service's client with `interceptor(session.veil())`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Veil;

#[dyn_dispatch_hint]
impl Intercept for Veil {
    fn name(&self) -> &'static str {
        "Veil"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        let body = std::mem::replace(request.body_mut(), SdkBody::taken());
        *request.body_mut() = SdkBody::from_body_1_x(body);
        Ok(())
    }
}
