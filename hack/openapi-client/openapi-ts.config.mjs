export default {
  input: process.env.OPENAPI,
  output: process.env.OUT,
  logs: { file: false, level: "warn" },
};
