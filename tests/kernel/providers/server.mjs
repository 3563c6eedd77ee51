// A certified OpenID provider on a loopback port, told what to be by the tests that start it.
//
//   node server.mjs '{"port": …, "issuer": …, "keys": […], "clients": […], "people": {…}}'
//
// It prints `serving`, takes one command a line from standard input, answers each with `done`, and ends with it:
//   {"keys": […]}      sign with these from now on and publish no others
//   {"people": {…}}    who can log in, and what is claimed of them

import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import { Provider } from 'oidc-provider';

const settings = JSON.parse(process.argv[2]);
const server = createServer();

function serve() {
  const provider = new Provider(settings.issuer, {
    clients: settings.clients,
    jwks: { keys: settings.keys },
    clientBasedCORS: () => true,
    cookies: { keys: ['only for tests'] },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    conformIdTokenClaims: false, // as most providers do, it puts the claims into the ID token
    extraTokenClaims: (ctx, token) => settings.people[token.accountId],
    findAccount: (ctx, sub) => settings.people[sub] && {
      accountId: sub,
      claims: () => ({ sub, ...settings.people[sub] }),
    },
    features: {
      clientCredentials: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, resource, client) => ({
          audience: resource,
          scope: 'service',
          accessTokenFormat: 'jwt',
          accessTokenTTL: 3600,
          jwt: { sign: { alg: client.clientId.endsWith('-es256') ? 'ES256' : 'RS256' } },
        }),
      },
    },
    ttl: {
      AccessToken: 3600, ClientCredentials: 3600, Grant: 3600, IdToken: 3600, Interaction: 600, Session: 3600,
    },
  });
  server.removeAllListeners('request');
  server.on('request', provider.callback());
}

serve();
server.listen(settings.port, '127.0.0.1', () => console.log('serving'));

const commands = createInterface({ input: process.stdin });
commands.on('line', (line) => {
  Object.assign(settings, JSON.parse(line));
  serve();
  console.log('done');
});
commands.on('close', () => process.exit());
