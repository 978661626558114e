"""Stands in for Microsoft's test tools, which no registry has: their tests run "live" against the
vault of AZURE_KEYVAULT_URL, with tokens of the login service beside it."""

import asyncio
import functools
import json
import os
import re
import ssl
import time
import urllib.parse
import urllib.request

import pytest
from azure.core.credentials import AccessToken

# The tests wait for a service that takes half a minute; this one takes a few requests.
_sleep, _async_sleep = time.sleep, asyncio.sleep
time.sleep = lambda seconds: _sleep(min(seconds, 0.01))
asyncio.sleep = lambda seconds, *rest: _async_sleep(min(seconds, 0.01), *rest)


def is_live():
    return True


def recorded_by_proxy(test):
    return test


def _nothing(*_, **__):
    pass


set_custom_default_matcher = _nothing
add_oauth_response_sanitizer = _nothing
add_general_regex_sanitizer = _nothing
add_body_key_sanitizer = _nothing
add_remove_header_sanitizer = _nothing
remove_batch_sanitizers = _nothing


@pytest.fixture(scope="session")
def test_proxy():
    yield


def _token(scope):
    form = {
        "grant_type": "client_credentials",
        "client_id": os.environ["FAKE_CLIENT_ID"],
        "client_secret": os.environ["FAKE_CLIENT_SECRET"],
        "scope": scope,
    }
    request = urllib.request.Request(
        f"{os.environ['AZURE_KEYVAULT_URL']}/{os.environ['FAKE_TENANT_ID']}/oauth2/v2.0/token",
        data=urllib.parse.urlencode(form).encode(),
    )
    trust = ssl.create_default_context(cafile=os.environ["REQUESTS_CA_BUNDLE"])
    with urllib.request.urlopen(request, context=trust) as reply:
        answer = json.load(reply)
    return AccessToken(answer["access_token"], int(time.time()) + answer["expires_in"])


class _Credential:
    def get_token(self, scope, **_):
        return _token(scope)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class _AsyncCredential:
    async def get_token(self, scope, **_):
        return _token(scope)

    async def close(self):
        pass

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass


class AzureRecordedTestCase:
    is_live = True

    def get_resource_name(self, name):
        test = os.environ["PYTEST_CURRENT_TEST"].rsplit("::", 1)[-1]
        return name + "-" + re.sub("[^0-9a-zA-Z]+", "-", test).strip("-")[:60]

    def get_credential(self, _client, is_async=False, **_):
        return _AsyncCredential() if is_async else _Credential()

    def create_client_from_credential(self, client, credential, **kwargs):
        kwargs.setdefault("logging_enable", True)
        # The vault's audience is not a part of its host name here.
        return client(credential=credential, verify_challenge_resource=False, **kwargs)

    @staticmethod
    def await_prepared_test(test):
        @functools.wraps(test)
        def run(*args, **kwargs):
            return asyncio.run(test(*args, **kwargs))

        return run
