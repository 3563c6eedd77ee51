/** A typed client of the API. README.md shows how to use it. */

export {
    type AuthFor,
    type CookieSession,
    type PasswordSession,
    type PasswordSessionOptions,
    type TokenStore,
    type Tokens,
    accessTokens,
    anonymous,
    browserStore,
    cookieSession,
    memoryStore,
    passwordSession,
} from "./auth.js";
export {
    type ApiClient,
    type ClientOptions,
    type Items,
    type Schemas,
    type Versioned,
    createClient,
    ifMatch,
    reauthenticated,
} from "./client.js";
export { type RateLimit, rateLimits } from "./limits.js";
export { ConnectionError, type FieldError, type ProblemCode, ProblemError, isProblem } from "./problems.js";
export type { components, operations, paths } from "./schema.js";
export type { Auth, Retry, Send } from "./transport.js";
