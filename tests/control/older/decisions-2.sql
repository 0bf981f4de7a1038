BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002');
CREATE TABLE decision (
	request_id TEXT NOT NULL, 
	"row" INTEGER NOT NULL, 
	deployment TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	generation INTEGER NOT NULL, 
	champion TEXT NOT NULL, 
	predictions BLOB NOT NULL, segments TEXT, 
	PRIMARY KEY (request_id, "row", deployment)
)
 WITHOUT ROWID

;
INSERT INTO "decision" VALUES('r1',0,'fraud',1700000000.0,2,'2',X'82A13292A131CB3FECCCCCCCCCCCCDA13392A130CB3FC999999999999A',NULL);
INSERT INTO "decision" VALUES('r2',0,'fraud',1700000000.0,2,'2',X'82A13292A131CB3FECCCCCCCCCCCCDA13392A130CB3FC999999999999A',NULL);
CREATE TABLE joined (
	seq INTEGER NOT NULL, 
	rows TEXT NOT NULL, 
	PRIMARY KEY (seq)
);
CREATE TABLE outcome (
	request_id TEXT NOT NULL, 
	"row" INTEGER NOT NULL, 
	value TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	received FLOAT NOT NULL, 
	state TEXT NOT NULL, 
	orphan_at FLOAT NOT NULL, 
	deployment TEXT, 
	PRIMARY KEY (request_id, "row")
)
 WITHOUT ROWID

;
INSERT INTO "outcome" VALUES('r1',0,'1',1700000000.0,1700000000.0,'matched',1700000300.0,'fraud');
CREATE INDEX decision_at ON decision (at);
CREATE INDEX outcome_pending ON outcome (orphan_at) WHERE state = 'pending';
CREATE INDEX outcome_unmatched ON outcome (received) WHERE deployment IS NULL;
COMMIT;
