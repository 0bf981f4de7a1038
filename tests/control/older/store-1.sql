BEGIN TRANSACTION;
CREATE TABLE alarm (
	id TEXT NOT NULL, 
	deployment TEXT NOT NULL, 
	document TEXT NOT NULL, 
	ended FLOAT, 
	PRIMARY KEY (id)
);
INSERT INTO "alarm" VALUES('a1','fraud','{"id":"a1","deployment":"fraud","kind":"data.broken","severity":"warning","says":"x","action":"y","since":1700000000.0,"owner":"","acknowledged":false,"ended":null}',NULL);
CREATE TABLE audit (
	seq INTEGER NOT NULL, 
	at FLOAT NOT NULL, 
	actor TEXT NOT NULL, 
	action TEXT NOT NULL, 
	deployment TEXT NOT NULL, 
	from_version TEXT, 
	to_version TEXT, 
	reason TEXT NOT NULL, 
	evidence TEXT, 
	details TEXT NOT NULL, 
	prev TEXT NOT NULL, 
	hash TEXT NOT NULL, 
	PRIMARY KEY (seq)
);
INSERT INTO "audit" VALUES(1,1700000000.0,'alice','promote','fraud',NULL,'1','because',NULL,'{}','sha256:0000000000000000000000000000000000000000000000000000000000000000','sha256:a67deb0f4f113a631295093f1e3de297b121d16ddd576de69dcbd6b32f24f581');
INSERT INTO "audit" VALUES(2,1700000000.0,'alice','promote','fraud',NULL,'2','because',NULL,'{}','sha256:a67deb0f4f113a631295093f1e3de297b121d16ddd576de69dcbd6b32f24f581','sha256:941bf36bb794c7b17f454595133e452e76914b56dac013fe6d8a671e89a0ca46');
CREATE TABLE idempotency (
	"key" TEXT NOT NULL, 
	request TEXT NOT NULL, 
	document TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "idempotency" VALUES('key','request','{"deployment":"fraud","from":"1","to":"2","generation":2,"audit_seq":2,"evidence":"sha256:e","dry_run":false}',1700000000.0);
CREATE TABLE meta (
	"key" TEXT NOT NULL, 
	value INTEGER NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('schema',1);
INSERT INTO "meta" VALUES('serial',0);
CREATE TABLE outbox (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	kind TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	payload TEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	next_at FLOAT NOT NULL, 
	done_at FLOAT, 
	fault TEXT
);
INSERT INTO "outbox" VALUES(1,'registry.alias','fraud','{"version": "2"}',0,1700000000.0,NULL,NULL);
CREATE TABLE snapshot (
	deployment TEXT NOT NULL, 
	observer TEXT NOT NULL, 
	blob BLOB NOT NULL, 
	at FLOAT NOT NULL, 
	PRIMARY KEY (deployment, observer)
);
INSERT INTO "snapshot" VALUES('fraud','drift',X'6B657074',1700000000.0);
CREATE TABLE state (
	deployment TEXT NOT NULL, 
	generation INTEGER NOT NULL, 
	document TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	PRIMARY KEY (deployment)
);
INSERT INTO "state" VALUES('fraud',2,'{"deployment":"fraud","generation":2,"champion":"2","champion_target":{"url":"http://127.0.0.1:8020","path":null},"champion_since":1700000000.0,"previous":null,"previous_target":null,"watch_until":null}','b0f1ad5c4c714b90ae1efbdc66be1fb16df0b7f418af6e370402dd7ce3a2baf1');
CREATE INDEX outbox_open ON outbox (done_at, id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('outbox',1);
COMMIT;
