// As web frontends commonly use it: fetch, hooks of react-query, a folder for each tag.
module.exports = {
  client: {
    input: process.env.OPENAPI,
    output: {
      target: `${process.env.OUT}/endpoints.ts`,
      schemas: `${process.env.OUT}/models`,
      mode: "tags-split",
      client: "react-query",
      httpClient: "fetch",
      indexFiles: false,
    },
  },
};
