// Package fault names the moments at which a crash tells most about what it leaves. In a program
// built with the tag "fault" a test can end the process at one of them, as a power cut does;
// otherwise nothing is compiled in.
//
// Every change of state has two such moments, named after the event that records it: "before
// release.revoked" lies just before its transaction commits, "after release.revoked" right
// behind. Others are named where they are.
package fault
