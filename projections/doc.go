// Package projections keeps the read models: what auditors, responders and the
// API's read side ask for, folded from the log into views.db.
//
// The file is disposable. One runner applies every record, in order, to all
// read models in one transaction together with the checkpoint, so a record
// counts exactly once however often it is delivered, and a file that is lost,
// of another schema or of another log is built again from the log alone. Each
// read model is one file here: its SQL, its apply, its queries.
//
// The package must not decide anything, and it holds no personal data in
// clear: phone numbers stay sealed, and are found by a keyed blind index that
// erasure removes. Most readers want Open, Views.Apply and Views.WaitFor;
// Rebuild is for operators, Checkpoints for reactors.
package projections
