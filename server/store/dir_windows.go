package store

import "golang.org/x/sys/windows"

// syncDir has nothing to do: NTFS journals its names by itself.
func syncDir(string) error { return nil }

// DiskFree returns the bytes that the user may still write on dir's volume.
func DiskFree(dir string) (uint64, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	err = windows.GetDiskFreeSpaceEx(name, &free, nil, nil)
	return free, err
}
