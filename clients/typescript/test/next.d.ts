/** What the examples use of Next.js, which weighs 150 MB: as its own types have it. */

declare module "next/headers" {
    export function cookies(): Promise<{ get(name: string): { name: string; value: string } | undefined }>;
}

declare module "next/navigation" {
    export function notFound(): never;
    export function useRouter(): { push(href: string): void; refresh(): void };
}
