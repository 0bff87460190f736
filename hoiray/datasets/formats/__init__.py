"""What each foreign format fixes: names, orders, scales, axes; shared by its reader and its writer."""
