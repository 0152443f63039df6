// Package hub has the words of ctx Hub: what an entry and a project are, what may be stored, which errors
// there are, and the Writer seam that every change goes through. It imports nothing but the standard library.
package hub
