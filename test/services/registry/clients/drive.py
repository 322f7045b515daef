"""Drives the published Python client of the Cloud Service Registry through what it offers: one line of JSON per step.

python2.7 drive.py URL USER API_KEY, with one generation of the client and its libraries on PYTHONPATH. The account may have
four services at a time.
"""
import json
import sys
import threading
import time

from service_registry import client as module
from service_registry.client import Client

URL, USER, API_KEY = sys.argv[1:]

# The client has an argument for the registry, and for the identity service only this table.
try:
    from service_registry.constants import DEFAULT_AUTH_URLS
except ImportError:
    DEFAULT_AUTH_URLS = module.DEFAULT_AUTH_URLS
DEFAULT_AUTH_URLS['us'] = URL + '/v2.0/tokens'

WEB = {'tags': ['web'], 'metadata': {'region': 'dfw'}}
ID = '/production/cassandra/listen_ip'


def connect(api_key=API_KEY):
    return Client(USER, api_key, URL + '/v1.0/', 'us')


def tell(step, told):
    print(json.dumps(dict(told, step=step)))
    sys.stdout.flush()


def step(name, call, *args, **named):
    try:
        result = call(*args, **named)
    except Exception as error:
        told = dict(getattr(error, '__dict__', {}), raised=type(error).__name__)
        if 'type' not in told:
            told['text'] = str(error)
        tell(name, told)
        return None
    tell(name, {'result': [part for part in result if isinstance(part, (dict, basestring))]
                if isinstance(result, tuple) else result})
    return result


def pages(name, call, *args):
    """A list by its pages of two."""
    ids, sizes, marker = [], [], None
    while True:
        page = call(*args, marker=marker, limit=2)
        ids += [each['id'] for each in page['values']]
        sizes.append(page['metadata']['count'])
        marker = page['metadata']['next_marker']
        if marker is None:
            return tell(name, {'ids': ids, 'sizes': sizes})


def beat(name, heartbeater, seconds):
    """`start` returns when it is stopped and has beaten once more."""
    tokens, request = [], heartbeater.request

    def noted(*args, **named):
        answer = request(*args, **named)
        tokens.append(answer['token'])
        return answer
    heartbeater.request = noted
    thread = threading.Thread(target=heartbeater.start)
    thread.start()
    time.sleep(seconds)
    heartbeater.stop()
    thread.join()
    tell(name, {'beats': len(set(tokens))})


def errors(client):
    step('a wrong key', connect('wrong').account.get_limits)
    step('a missing service', client.services.get, 'nobody')
    step('a bad service id', client.services.get, 'a')
    step('a bad tag', client.services.list_for_tag, 'a')
    step('a bad limit', client.services.list, limit=1001)
    step('a bad marker', client.events.list, marker='not-a-uuid')
    step('a missing value', client.configuration.get, 'nothing')
    step('a value too long', client.configuration.set, 'long', 'v' * 1025)
    step('a bad namespace', client.configuration.set, '/production.foo/test', 'v')


def authenticate():
    account = connect().account
    step('limits', account.get_limits)
    # Once a token's time has passed, the client goes on showing it.
    account.auth_headers = dict(account.auth_headers, **{'X-Auth-Token': 'stale'})
    account.auth_token_expires = 1
    step('a stale token', account.get_limits)
    tell('the call after it', {'result': sorted(account.get_limits())})


def configure(configuration):
    for key, value in ((ID, '127.0.0.1'), ('/production/cassandra/port', '9160'), ('bare', u'gr\xfcn'), (ID, '::1')):
        step('set ' + key, configuration.set, key, value)
    step('get ' + ID, configuration.get, ID)
    step('get bare', configuration.get, 'bare')
    pages('list', configuration.list)
    pages('list of a namespace', configuration.list_for_namespace, '/production/cassandra')
    pages('list of a namespace without slashes', configuration.list_for_namespace, 'production')
    step('remove ' + ID, configuration.remove, ID)
    step('remove bare', configuration.remove, 'bare')
    step('remove what is gone', configuration.remove, 'bare')


def services(services):
    made = step('create', services.create, 'web-1', 3, WEB)
    token = made[0]['token']
    step('create what is there', services.create, 'web-1', 3)
    step('create with a long name', services.create, 'w' * 66, 3)
    token = step('heartbeat', services.heartbeat, 'web-1', token)['token']
    step('heartbeat with a bad token', services.heartbeat, 'web-1', 'token')
    step('heartbeat of another service', services.heartbeat, 'web-2', token)
    made[1].next_token = token
    beat('heartbeater', made[1], 5)
    step('get', services.get, 'web-1')
    # It takes its own ValidationError apart in a way that fails, before it would try again.
    step('register what is there', services.register, 'web-1', 3)
    for name in ('web-2', 'web-3', 'web-4'):
        step('register ' + name, services.register, name, 60, WEB)
    step('register too many', services.create, 'web-5', 60)
    step('update', services.update, 'web-2', {'tags': ['web', 'www'], 'heartbeat_timeout': 90})
    step('update with nothing', services.update, 'web-2', {})
    step('update with a bad tag', services.update, 'web-2', {'tags': ['']})
    step('get web-2', services.get, 'web-2')
    step('remove', services.remove, 'web-4')
    step('remove what is gone', services.remove, 'web-4')


def sessions(client):
    sessions, services = client.sessions, client.services
    made = step('create a session', sessions.create, 3, {'metadata': {'a': 'b'}})
    session, heartbeater = made[1], made[2]
    heartbeater.next_token = step('heartbeat', sessions.heartbeat, session, made[0]['token'])['token']
    step('heartbeat with a bad token', sessions.heartbeat, session, 'token')
    step('create', services.create, session, 'web-1', WEB)
    step('create what is there', services.create, session, 'web-1')
    step('create in no session', services.create, 'seNobody00', 'web-9')
    beat('heartbeater', heartbeater, 5)
    step('get', services.get, 'web-1')
    other = sessions.create(60)[1]
    for name in ('web-2', 'web-3', 'web-4'):
        step('register ' + name, services.register, other, name, WEB)
    step('register too many', services.create, other, 'web-5')
    step('update', services.update, 'web-2', {'tags': ['web', 'www']})
    step('get web-2', services.get, 'web-2')
    step('remove', services.remove, 'web-4')
    step('update a session', sessions.update, other, {'heartbeat_timeout': 90})
    step('get a session', sessions.get, other)
    step('a missing session', sessions.get, 'seNobody00')
    step('a bad timeout', sessions.create, 121)
    tell('sessions are', {'both': sorted([session, other]) == sorted(each['id'] for each in sessions.list()['values'])})


def events(events, last):
    """Until the last one comes; each page begins with the last one of the page before."""
    end, marker, heard = time.time() + 15, None, []
    while time.time() < end and (not heard or heard[-1]['type'] != last):
        for event in events.list(marker=marker, limit=5)['values']:
            if event['id'] != marker:
                heard.append(event)
                marker = event['id']
        time.sleep(0.2)
    for event in heard:
        tell('event', {'type': event['type'], 'payload': event['payload']})


def main():
    client = connect()
    authenticate()
    errors(client)
    configure(client.configuration)
    generation1 = hasattr(client, 'sessions')
    if generation1:
        sessions(client)
    else:
        services(client.services)
    pages('services', client.services.list)
    pages('services by tag', client.services.list_for_tag, 'web')
    events(client.events, 'services.timeout' if generation1 else 'service.timeout')


main()
