// The user that the processor reads documents with: mongosh "mongodb://admin@HOST/admin" mongo_reader.js
// `read` covers finding, change streams on the database's collections, and the names of its indexes; nothing can be written.
db.getSiblingDB("support_logs").createUser({
  user: "adventure_reader",
  pwd: passwordPrompt(),
  roles: [{ role: "read", db: "support_logs" }],
});
// MONGO_URI=mongodb://adventure_reader:PASSWORD@HOST:27017/?authSource=support_logs
