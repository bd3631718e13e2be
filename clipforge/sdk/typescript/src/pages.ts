/** A page of a list, as the API answers it. */
export interface Page<Row> {
  results: Row[];
  next_cursor: string | null;
}

/**
 * Every row of a list: `for await (const row of pages)`. Each page is asked for when its first row is.
 * It may be gone through several times, and asks anew each time.
 */
export class Pages<Row> implements AsyncIterable<Row> {
  constructor(private readonly ask: (cursor: string | undefined) => Promise<Page<Row>>) {}

  async *[Symbol.asyncIterator](): AsyncGenerator<Row> {
    for await (const page of this.pages()) yield* page;
  }

  /** The rows, a page at a time. */
  async *pages(): AsyncGenerator<Row[]> {
    let cursor: string | undefined;
    do {
      const page = await this.ask(cursor);
      yield page.results;
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
  }
}
